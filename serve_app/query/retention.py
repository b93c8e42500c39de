"""`GET /api/v1/retention`."""

from typing import Annotated

from fastapi import APIRouter, Query, Request

from serve_app.query.access import ReadableSite
from serve_app.query.answer import JsonAnswer, moment
from serve_app.query.parameters import RetentionParameters
from serve_app.query.parts import reports_of
from serve_app.query.problem import REPORT_REFUSALS, documented
from serve_app.query.shapes import RetentionAnswer

router = APIRouter(tags=["reports"])


@router.get(
    "/retention",
    summary="Who came back",
    response_model=RetentionAnswer,
    responses=documented(*REPORT_REFUSALS),
)
async def retention(request: Request, site: ReadableSite, asked: Annotated[RetentionParameters, Query()]) -> JsonAnswer:
    """Cohorts that start in the range, and how many of each came back in the periods after. `returned[0]` is the
    cohort's own period."""
    report = await (await reports_of(request)).retention(site, asked.query(site))
    cohorts = [
        {"start": one.start, "size": one.size, "returned": one.returned, "complete": one.complete}
        for one in report.cohorts
    ]
    return JsonAnswer({"cohorts": cohorts, "complete_through": moment(report.complete_through)})
