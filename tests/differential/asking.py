"""One request, to stock Feast and to Freshet: POST for all of its rows, and GET for the first one."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from fastapi.testclient import TestClient

from tests.differential.comparing import Cell, Comparison
from tests.differential.model import Request
from tests.differential.stock import Answer, StockRepo

_GET_OPTIONS = {"full_feature_names", "max_staleness", "on_stale"}


def ask_both(client: TestClient, store: str, repo: StockRepo, request: Request, comparison: Comparison) -> None:
    """Ask Feast once and Freshet twice, and compare."""
    feast = repo.read(request)
    body = {"entities": {name: [_json(value) for value in values] for name, values in request.columns}}
    wanted = [f"{entry.shown_as}:{name}" for entry in request.projections for name in entry.features]
    asked = {"features": wanted} if request.service is None else {"feature_service": request.service}
    response = client.post("/v1/online-features", json={**asked, **body, "on_stale": request.on_stale})
    assert response.status_code == 200, f"{request}: {response.text}"
    answer = response.json()
    assert answer["features"] == wanted
    comparison.order([name.replace(":", "__", 1) for name in wanted], [n for n in feast if n not in body["entities"]])
    assert answer["entities"].keys() == body["entities"].keys()
    for row in range(request.rows):
        values = dict(zip(wanted, answer["values"][row], strict=True))
        statuses = dict(zip(wanted, answer["statuses"][row], strict=True))
        events = {view: moments[row] for view, moments in answer["event_timestamps"].items()}
        _compare(store, repo, request, row, values, statuses, events, feast, comparison)
    if request.service is not None:
        _ask_for_one(client, store, repo, request, feast, comparison)


def _ask_for_one(
    client: TestClient,
    store: str,
    repo: StockRepo,
    request: Request,
    feast: dict[str, list[Answer]],
    comparison: Comparison,
) -> None:
    assert request.service is not None
    query = {name: _text(values[0]) for name, values in request.columns}
    if _GET_OPTIONS & query.keys() or "%" in request.service or request.service in (".", ".."):
        # A GET cannot say these (docs/api.md): the client makes another path of a percent sign and of dots.
        return
    options = {"full_feature_names": "true", "on_stale": request.on_stale}
    path = f"/v1/online-features/{quote(request.service, safe='')}"
    response = client.get(path, params={**query, **options})
    assert response.status_code == 200, f"{request}: {response.text}"
    answer = response.json()
    assert answer["feature_service"] == request.service
    full = [f"{entry.shown_as}__{name}" for entry in request.projections for name in entry.features]
    assert list(answer["features"]) == full
    assert list(answer["statuses"]) == full
    wanted = [f"{entry.shown_as}:{name}" for entry in request.projections for name in entry.features]
    values = dict(zip(wanted, answer["features"].values(), strict=True))
    statuses = dict(zip(wanted, answer["statuses"].values(), strict=True))
    _compare(store, repo, request, 0, values, statuses, answer["event_timestamps"], feast, comparison)


def _compare(
    store: str,
    repo: StockRepo,
    request: Request,
    row: int,
    values: dict[str, Any],
    statuses: dict[str, str],
    events: dict[str, str | None],
    feast: dict[str, list[Answer]],
    comparison: Comparison,
) -> None:
    columns = dict(request.columns)
    assert events.keys() == {entry.shown_as for entry in request.projections}
    for entry in request.projections:
        view = repo.case.view(entry.view)
        renamed = dict(entry.renamed)
        key = tuple(columns[renamed.get(name, name)][row] for name in view.keys)
        for name in entry.features:
            reference = f"{entry.shown_as}:{name}"
            ours = Cell(
                value=values[reference],
                status=statuses[reference],
                event=events[entry.shown_as],
                store=store,
                written=repo.has_row(view, key),
                feature_written=name not in view.unwritten,
                ttl=view.ttl,
                serve_stale=request.on_stale == "serve",
            )
            theirs = feast[f"{entry.shown_as}__{name}"][row]
            try:
                comparison.cell(ours, theirs, datetime.now(UTC))
            except AssertionError as error:
                kind = dict(view.features)[name]
                place = f"{store}, row {row}, key {key!r}, {reference!r} ({kind})"
                raise AssertionError(f"{place}:\n  Freshet {ours}\n  Feast   {theirs}\n{error}") from error


def _json(value: Any) -> Any:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    return value.isoformat() if isinstance(value, datetime) else value


def _text(value: Any) -> str:
    return str(_json(value))
