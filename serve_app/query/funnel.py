"""`POST /api/v1/funnel`."""

from fastapi import APIRouter, Request

from serve_app.query.access import ReadableSite
from serve_app.query.answer import JsonAnswer, moment
from serve_app.query.parameters import FunnelBody
from serve_app.query.parts import reports_of
from serve_app.query.problem import REPORT_REFUSALS, TOO_LARGE, UNREADABLE, documented
from serve_app.query.shapes import FunnelAnswer

router = APIRouter(tags=["reports"])


@router.post(
    "/funnel",
    summary="How far visitors came",
    response_model=FunnelAnswer,
    responses=documented(UNREADABLE, *REPORT_REFUSALS, TOO_LARGE),
)
async def funnel(request: Request, site: ReadableSite, asked: FunnelBody) -> JsonAnswer:
    """How many visitors reached each step, within `window_s` seconds from the first. `share` is of the first step."""
    report = await (await reports_of(request)).funnel(site, asked.query(site))
    steps = [{"visitors": one.visitors, "share": one.share, "median_s": one.median_s} for one in report.steps]
    return JsonAnswer({"steps": steps, "complete_through": moment(report.complete_through)})
