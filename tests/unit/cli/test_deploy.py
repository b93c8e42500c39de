"""`pistats deploy`: what it hands to the cluster."""

from contextlib import nullcontext
from pathlib import Path

import pytest

from pistats.cli import deployment
from pistats.cli.deploy import deploy
from pistats.settings import Settings


def test_the_cluster_gets_an_absolute_data_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # given a directory named from where the command runs, as by default
    monkeypatch.chdir(tmp_path)
    deployed: list[Settings] = []
    monkeypatch.setattr("actors.connection.connected", lambda *_: nullcontext())
    monkeypatch.setattr(deployment, "deploy_system", lambda settings, uri: deployed.append(settings) or 2)
    # when it is deployed
    deploy("auto", "mongodb://db1/?replicaSet=rs0", Path(".pistats"))
    # then every process of the cluster finds the same place, wherever it works
    assert [settings.data for settings in deployed] == [tmp_path / ".pistats"]
    assert (tmp_path / ".pistats" / "runtime.json").exists()
