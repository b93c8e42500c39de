"""A job works by the settings of the system that submits it."""

from pathlib import Path

import pytest

from actors.job_submission import job_settings
from pistats.settings import ConsumerSettings, MongoSettings, OidcSettings, Settings, WarehouseSettings


def test_settings_survive_the_environment_of_a_job(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    settings = Settings(
        data=tmp_path / "data",
        mongodb=MongoSettings(uri="mongodb://a,b/?replicaSet=rs0", database_prefix="other"),
        consumers=ConsumerSettings(group="blue", flush_interval_s=0.25),
        warehouse=WarehouseSettings(root="s3://bucket/prefix"),
        geoip_db=tmp_path / "city.mmdb",
    )
    monkeypatch.chdir(tmp_path)
    for name, value in job_settings(settings, settings.mongodb.uri or "").items():
        monkeypatch.setenv(name, value)
    assert Settings() == settings


def test_a_job_is_not_told_what_it_does_not_need() -> None:
    settings = Settings(oidc=OidcSettings(client_secret="hush", viewers=("*@example.com",)))
    assert set(job_settings(settings, "mongodb://a/")) == {"PISTATS_DATA", "PISTATS_MONGODB__URI"}
