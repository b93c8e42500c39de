"""What a command says when something about the machine or the settings is wrong: one line, no traceback."""

import sys
from pathlib import Path

import pytest

from pistats.cli import _fail, main
from pistats.local import runtime
from pistats.local.ports import free_ports
from pistats.local.runtime import Runtime


@pytest.fixture(autouse=True)
def _doctor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["pistats", "doctor", "--data", str(tmp_path)])


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("stream tail --partition 0 --from yesterday", "trim-horizon"),
        ("replay --group fixed --from 2015-05-17T10:00Z", "trim-horizon"),
        ("replay --group Again", "lower-case"),
        ("import /nowhere/a.log --site news --format clf", "No such file"),
        ("export --site news --from 2026-11-02 --to 2026-11-01", "is after"),
        ("export --site news --from 2026-11-01 --to 2026-11-01 --out /nowhere/a", "no directory"),
        ("site add b@d", "such as"),
        ("site add news --timezone Mars", "Europe/Berlin"),
        ("site add news --allowed-origin example.com", "https://example.com"),
        ("site change news --keep-days 0", "for ever"),
        ("dead-letters show 7", "PARTITION:OFFSET"),
        ("stream resize 65", "64"),
        ("job archive --from yesterday", "2026-11-23"),
    ],
)
def test_a_mistake_in_the_command_line_is_told_before_a_system_is_looked_for(
    command: str, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["pistats", *command.split()])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


def refused(capsys: pytest.CaptureFixture[str]) -> str:
    """What the command prints when it fails; any error but an exit would come through here."""
    with pytest.raises(SystemExit) as ended:
        main()
    printed, said = capsys.readouterr()
    assert (ended.value.code, printed) == (1, "")
    return said


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("PISTATS_STREAM__PARTITIONS", "many", "stream.partitions: Input should be a valid integer"),
        ("PISTATS_MONGODB__URL", "mongodb://u:secret@db", "mongodb.url: Extra inputs are not permitted"),
    ],
)
def test_a_wrong_setting_is_named_without_its_value(
    name: str, value: str, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(name, value)

    message = refused(capsys)

    assert said in message
    assert value not in message


def test_a_settings_file_that_cannot_be_read_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "pistats.toml").write_text("[stream")

    assert "pistats.toml cannot be read" in refused(capsys)


@pytest.mark.parametrize("place", ["/proc/nowhere", "/sys/kernel", "file/below"])
def test_a_directory_that_cannot_be_used_is_told_with_what_to_do(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr(sys, "argv", ["pistats", "up", "--data", place])

    message = refused(capsys)

    assert f"{place} cannot be the data directory" in message
    assert "--data, or make it as root: install -d" in message


def test_doctor_says_that_nothing_can_be_written(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["pistats", "doctor", "--data", "/sys/kernel/pistats"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    assert "│ no │ Data directory │ /sys/kernel:" in capsys.readouterr().out


def test_one_port_for_two_is_told_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--port", "8501", "--dashboard-port", "8501"]
    monkeypatch.setattr(sys, "argv", ["pistats", "up", "--data", str(tmp_path), *flags])

    assert "cannot share port 8501" in refused(capsys)


def test_a_mongodb_that_does_not_answer_is_told_without_the_drivers_topology(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (port,) = free_ports(1)
    uri = f"mongodb://127.0.0.1:{port}/?serverSelectionTimeoutMS=200"
    runtime.write(tmp_path, Runtime(0, "127.0.0.1:1", None, uri, "http://127.0.0.1:1", None, 0))
    monkeypatch.setattr(sys, "argv", ["pistats", "site", "list", "--data", str(tmp_path)])

    message = refused(capsys)

    assert message.startswith(f"error: MongoDB does not answer: 127.0.0.1:{port}: ")
    assert "mongod.log" in message
    assert "opology" not in message
    assert "timeouts" not in message


def test_a_number_between_colons_is_no_emoji(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        _fail("There is no dead letter 0:1234: look again")
    assert "0:1234: look" in capsys.readouterr().err
