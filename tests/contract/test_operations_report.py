"""The report of operations on a real mongod: what is stored is what it says."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pymongo.asynchronous.database import AsyncDatabase

from dashboard.letters_grid import letters_grid
from dashboard.operations_grids import figures, groups_grid, jobs_grid, ledger_grid, machine_grid, partitions_grid
from pistats.clock import now_ms
from pistats.consumer.groups import Groups
from pistats.jobs.arguments import JobArguments
from pistats.jobs.runs import Runs
from pistats.operations import MINUTE_MS, Operations
from pistats.settings import MongoSettings, Settings
from pistats.status_board import StatusBoard
from tests.contract.test_status_board import status

Database = AsyncDatabase[dict[str, Any]]


async def test_the_report_holds_every_part_and_marks_a_difference(database: Database, tmp_path: Path) -> None:
    settings = Settings(data=tmp_path, mongodb=MongoSettings(database_prefix=database.name))
    group = database.client[settings.database("live")]
    try:
        await Groups(database, settings).settle()
        await Groups(database, settings).create("mended", "trim-horizon")
        await StatusBoard(database).post([status(0, end_offset=7)])
        minute = now_ms() // MINUTE_MS * MINUTE_MS - MINUTE_MS
        counts = {
            "first_offset": 0,
            "end_offset": 7,
            "consumed": 7,
            "enriched": 5,
            "bots": 0,
            "dead_lettered": 1,
            "erased": 0,
        }
        await group.ledger.insert_one({"_id": {"partition": 0, "minute": minute}, **counts})
        await group.dead_letters.insert_one(
            {
                "_id": {"partition": 0, "offset": 3},
                "append_minute": minute,
                "stage": "decode",
                "reason": "not_json",
                "detail": "<b>bold</b>",
                "payload": b"\xff<script>",
                "code_version": "1",
                "created_at": datetime.now(UTC),
            }
        )
        await Runs(database).start("archive-1", "archive", JobArguments())
        await Runs(database).end("archive-1", error="no disk")

        report = await Operations(database.client, settings).report(group)

        assert report.system is not None
        assert report.system.partitions[0].end_offset == 7
        assert report.events_per_s == {0: 7 / 60}
        assert [row["cells"][6] for row in ledger_grid(report)["rows"]] == [{"text": "1", "tone": "bad"}] * 2
        assert partitions_grid(report)["rows"][0]["cells"][2]["text"] == "7"
        letters = report.letters
        assert letters_grid(letters, None, may_act=True)["rows"][0]["acts"][0]["value"] == "0:3"
        assert letters_grid(letters, None, may_act=False)["rows"][0]["acts"] is None
        assert letters_grid(letters, letters.newest[0], may_act=True)["rows"][0]["more"]["text"] == r"\xff<script>"
        assert [one["value"] for one in figures(report)[2:5]] == ["7", "1", "1"]
        archive = next(line for line in jobs_grid(report)["rows"] if line["cells"][0]["text"] == "archive")
        assert archive["cells"][2] == {"text": "failed", "tone": "bad"}
        assert archive["cells"][5]["text"] == "no disk"
        states = {
            line["cells"][0]["text"]: line["cells"][1]["text"] for line in groups_grid(report, may_act=True)["rows"]
        }
        assert states == {"live": "live", "mended": "shadow"}
        assert any(line["cells"][0]["text"] == "MongoDB" for line in machine_grid(report)["rows"])
    finally:
        for name in ("live", "mended"):
            await database.client.drop_database(settings.database(name))


async def test_before_the_logs_have_answered_nothing_is_called_ill(database: Database, tmp_path: Path) -> None:
    settings = Settings(data=tmp_path / "elsewhere", mongodb=MongoSettings(database_prefix=database.name))
    report = await Operations(database.client, settings).report(database.client[settings.database("live")])
    assert report.system is None
    assert report.disk.total > 0
    assert partitions_grid(report)["rows"] == []
