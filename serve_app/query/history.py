"""`GET /api/v1/history`."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request

from pistats.reports.history import HistoryComparison
from serve_app.query.access import ReadableSite
from serve_app.query.answer import JsonAnswer, moment
from serve_app.query.parameters import HistoryParameters
from serve_app.query.parts import reports_of
from serve_app.query.problem import REPORT_REFUSALS, documented
from serve_app.query.shapes import HistoryAnswer

router = APIRouter(tags=["reports"])


@router.get(
    "/history",
    summary="Metrics by time and dimension",
    response_model=HistoryAnswer,
    responses=documented(*REPORT_REFUSALS),
)
async def history(request: Request, site: ReadableSite, asked: Annotated[HistoryParameters, Query()]) -> JsonAnswer:
    """Visitors, sessions, views and what follows from them, by hour, day, week or month and by any dimension."""
    report = await (await reports_of(request)).history(site, asked.query(site))
    return JsonAnswer(
        {
            "columns": report.columns,
            "rows": report.rows,
            "totals": report.totals,
            "comparison": _comparison(report.comparison),
            "complete_through": moment(report.complete_through),
            "truncated": report.truncated,
        }
    )


def _comparison(comparison: HistoryComparison | None) -> dict[str, Any] | None:
    if comparison is None:
        return None
    return {
        "from": comparison.from_date,
        "to": comparison.to_date,
        "until": moment(comparison.until),
        "rows": comparison.rows,
        "totals": comparison.totals,
    }
