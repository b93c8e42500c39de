"""Where settings come from, and which of them cannot go together."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from pistats.settings import Settings


def test_flags_win_over_the_environment_over_the_file_over_defaults(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pistats.toml").write_text("[stream]\npartitions = 3\nsegment_bytes = 5000\n[http]\nport = 7000\n")
    monkeypatch.setenv("PISTATS_STREAM__PARTITIONS", "5")
    monkeypatch.setenv("PISTATS_HTTP__PORT", "7001")

    settings = Settings(data=tmp_path, http={"port": 7002})  # type: ignore[arg-type]

    assert settings.stream.segment_bytes == 5_000
    assert settings.stream.partitions == 5
    assert settings.http.port == 7_002
    assert settings.stream.dedupe_window_s == 86_400


def test_an_unknown_setting_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "pistats.toml").write_text("[stream]\npartitons = 3\n")

    with pytest.raises(ValidationError, match="partitons"):
        Settings(data=tmp_path)


def test_records_are_kept_at_least_as_long_as_their_ids(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="log_retention_s"):
        Settings(data=tmp_path, stream={"log_retention_s": 3_600})  # type: ignore[arg-type]
