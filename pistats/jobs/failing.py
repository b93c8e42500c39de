"""Which scheduled jobs fail again and again, for `pistats status` and the dashboard."""

from pistats.jobs.leader import LEADER
from pistats.jobs.runs import Runs
from pistats.mongo.indexes import Database

FAILURES = 3
"""In a row before it is a problem: the schedule repeats a job after one, two and four minutes."""


async def failing_jobs(system: Database) -> list[str]:
    """One sentence for each, with the reason of the last failure."""
    wanted = {"_id": {"$ne": LEADER}, "failures": {"$gte": FAILURES}}
    problems = []
    async for watermark in system["watermarks"].find(wanted).sort("_id"):
        job = watermark["_id"]
        reasons = [run.error for run in await Runs(system).newest(job, limit=20) if run.error]
        reason = reasons[0].strip().splitlines()[0] if reasons else "see `pistats job list`"
        problems.append(f"the job {job} has failed {watermark['failures']} times in a row: {reason}")
    return problems
