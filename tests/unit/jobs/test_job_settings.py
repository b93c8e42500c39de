"""A job works by the settings of the system that submits it."""

from pathlib import Path

import pytest

from actors.job_submission import job_settings
from pistats.settings import ConsumerSettings, IngestSettings, MongoSettings, Settings


def test_settings_survive_the_environment_of_a_job(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    settings = Settings(
        data=tmp_path / "data",
        mongodb=MongoSettings(uri="mongodb://a,b/?replicaSet=rs0", database_prefix="other"),
        consumers=ConsumerSettings(group="blue", flush_interval_s=0.25),
        ingest=IngestSettings(trusted_proxies=("10.0.0.0/8",)),
        geoip_db=tmp_path / "city.mmdb",
    )
    monkeypatch.chdir(tmp_path)
    for name, value in job_settings(settings, settings.mongodb.uri or "").items():
        monkeypatch.setenv(name, value)
    assert Settings() == settings
