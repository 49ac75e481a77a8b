"""The freshness of the views that an answer was read from, added to it where the caller asks for it."""

from __future__ import annotations

from app.freshness.board import FreshnessBoard
from app.serving.encode import dumps
from app.serving.plan import ServingPlan


def with_freshness(answer: bytes, plan: ServingPlan, board: FreshnessBoard) -> bytes:
    """The answer, a JSON object with members, and one more: the state of the stored views of the plan, by their names
    in the answer. A look into memory; what the caller gets is no older than that of GET /v1/freshness."""
    now = board.now()
    shown = {}
    for planned in plan.views:
        state = board.of(planned.view, now)
        shown[planned.shown_as] = {
            "status": state.status.value,
            "staleness_seconds": None if state.staleness is None else state.staleness.total_seconds(),
            "sla_seconds": None if state.sla.sla is None else state.sla.sla.total_seconds(),
            "newest_event_timestamp": state.found.newest,
        }
    return answer[:-1] + b',"freshness":' + dumps(shown) + b"}"
