"""`pistats stream verify`: sound logs, damaged ones, and what an operator is told."""

from pathlib import Path

import orjson
from typer.testing import CliRunner

from pistats.cli import app
from pistats.settings import StreamSettings
from pistats.stream.batch import Batch
from pistats.stream.file_log import FileLog

RUNNER = CliRunner()


def write_log(stream: Path, partition: int) -> Path:
    directory = stream / f"partition-{partition:03d}"
    log = FileLog.open(directory, partition, StreamSettings())
    for number in range(5):
        log.append([Batch(bytes([number]) * 16, [b"site\x1f%d" % number], [b'{"n":%d}' % number])])
    log.close()
    return directory


def test_every_partition_of_a_sound_stream_is_read(tmp_path: Path) -> None:
    for partition in range(2):
        write_log(tmp_path, partition)

    done = RUNNER.invoke(app, ["stream", "verify", str(tmp_path), "--json"])

    assert done.exit_code == 0, done.output
    reports = orjson.loads(done.stdout)
    assert [(one["sound"], one["records"], one["end_offset"]) for one in reports.values()] == [(True, 5, 5)] * 2


def test_a_flipped_bit_is_named_with_what_to_do(tmp_path: Path) -> None:
    directory = write_log(tmp_path, 0)
    segment = max((path for path in directory.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)
    content = bytearray(segment.read_bytes())
    content[len(content) // 2] ^= 1
    segment.write_bytes(content)

    done = RUNNER.invoke(app, ["stream", "verify", str(directory)])

    assert done.exit_code == 1
    assert "DAMAGED" in done.output
    assert "What to do" in done.output
