"""`GET /api/v1/ledger`."""

from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Query, Request

from pistats.live.view import iso
from pistats.reports.ledger import ledger_rows, totals
from serve_app.query.access import ReadableSite
from serve_app.query.answer import JsonAnswer
from serve_app.query.parameters import LedgerParameters
from serve_app.query.parts import Parts
from serve_app.query.problem import INVALID, OVERLOADED, UNAVAILABLE, UNKNOWN_KEY, WRITE_KEY, documented
from serve_app.query.shapes import LedgerAnswer

router = APIRouter(tags=["operations"])


@router.get(
    "/ledger",
    summary="What became of every record",
    response_model=LedgerAnswer,
    responses=documented(UNKNOWN_KEY, WRITE_KEY, INVALID, OVERLOADED, UNAVAILABLE),
)
async def ledger(request: Request, site: ReadableSite, asked: Annotated[LedgerParameters, Query()]) -> JsonAnswer:
    """Per partition and minute of append: what was stored, and what became of it. Of all sites: the log is shared.

    A row is balanced when `appended` = `enriched` + `bots` + `dead_lettered` + `erased`, and `enriched` + `bots` =
    `archived` + `waiting`.
    """
    parts: Parts = request.app.state.parts
    group = await parts.shown.parts()
    rows = await ledger_rows(group.database, *asked.range_ms(site))
    shown = [
        {**asdict(row), "minute": iso(row.minute), "difference": row.difference, "balanced": row.balanced}
        for row in rows
    ]
    return JsonAnswer({"rows": shown, "totals": totals(rows), "balanced": all(row.balanced for row in rows)})
