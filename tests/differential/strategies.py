"""Cases to draw: a few views over a few keys, rows in them, services, and requests that mostly hit."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from tests.differential.model import Case, Key, Projection, Request, Row, Service, View
from tests.differential.names import feature_names, view_names
from tests.differential.values import FEAST_TYPES, KEY_TYPES, of_key, of_type

Draw = st.DrawFn
Pools = dict[str, list[Any]]
"""Values of each join key, from which rows and requests choose, so that they meet."""

_TTL = timedelta(hours=2)
_INSIDE = st.timedeltas(timedelta(minutes=1), timedelta(minutes=100))
_OUTSIDE = st.timedeltas(timedelta(minutes=140), timedelta(days=900))
_FUTURE = st.timedeltas(-timedelta(days=30), -timedelta(minutes=20))
_whole = st.datetimes(datetime(1900, 1, 1), datetime(2025, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
_MOMENTS = _whole | _whole.map(lambda moment: moment.replace(microsecond=0))

# What pandas can carry to Feast without changing it or stumbling over it.
_DATAFRAME_TYPES = ("BOOL", "DOUBLE", "DOUBLE_LIST", "INT32", "STRING", "STRING_LIST")


@st.composite
def cases(draw: Draw) -> Case:
    """A repo, its rows, and requests to it."""
    names = draw(st.lists(view_names, min_size=1, max_size=4, unique_by=str.casefold))
    keys = tuple(Key(name, draw(st.sampled_from(KEY_TYPES))) for name in names)
    pools = {key.name: draw(st.lists(of_key(key.dtype), min_size=1, max_size=3, unique_by=repr)) for key in keys}
    titles = draw(st.lists(view_names, min_size=2, max_size=4, unique_by=str.casefold))
    views = tuple(_view(draw, title, keys, pools) for title in titles)
    services = tuple(
        _service(draw, name, views) for name in draw(st.lists(view_names, min_size=1, max_size=2, unique=True))
    )
    asked: list[tuple[str | None, tuple[Projection, ...]]] = [
        (service.name, service.projections) for service in services
    ]
    asked += [(None, _list(draw, views)) for _ in range(2)]
    requests = tuple(_request(draw, name, projections, keys, views, pools) for name, projections in asked)
    return Case(keys, views, services, requests)


@st.composite
def wide_cases(draw: Draw) -> Case:
    """One view with a feature of every type, and a request for all of them in every row."""
    keys = (Key("id", draw(st.sampled_from(KEY_TYPES))),)
    pool = draw(st.lists(of_key(keys[0].dtype), min_size=4, max_size=4, unique_by=repr))
    features = tuple((name.lower(), name) for name in FEAST_TYPES)
    rows = tuple(
        Row((value,), timedelta(minutes=1), tuple(draw(of_type(dtype)) for _, dtype in features)) for value in pool
    )
    asked = (Projection("wide", tuple(draw(st.permutations([name for name, _ in features])))),)
    request = Request("everything", asked, (("id", tuple(pool)),), len(pool))
    return Case(keys, (View("wide", ("id",), features, None, rows),), (Service("everything", asked),), (request,))


def _view(draw: Draw, name: str, keys: tuple[Key, ...], pools: Pools) -> View:
    # Feast moves a feature that is named like one of the view's join keys among the keys.
    chosen = tuple(key.name for key in draw(st.lists(st.sampled_from(keys), max_size=3, unique=True)))
    taken = draw(st.lists(feature_names.filter(lambda name: name not in chosen), min_size=1, max_size=5, unique=True))
    # Feast's write_to_online_store puts a view without entities under a key that Feast itself does not read.
    dataframe = bool(chosen) and draw(st.integers(0, 4)) == 0
    types = _DATAFRAME_TYPES if dataframe else tuple(FEAST_TYPES)
    features = tuple((feature, draw(st.sampled_from(types))) for feature in taken)
    ttl = draw(st.none() | st.just(_TTL))
    unwritten = tuple(draw(st.lists(st.sampled_from(taken), max_size=1))) if len(taken) > 1 and not dataframe else ()
    rows = tuple(_row(draw, chosen, features, ttl, pools) for _ in range(draw(st.integers(2, 6))))
    # See NOT_DRAWN.
    dataframe = dataframe and not any(_is_cut_in_two_ways(value) for row in rows for value in row.key)
    return View(name, chosen, features, ttl, rows, unwritten, dataframe)


def _is_cut_in_two_ways(key: Any) -> bool:
    return isinstance(key, datetime) and key.microsecond > 0 and key < datetime.fromtimestamp(0, UTC)


def _row(
    draw: Draw, keys: tuple[str, ...], features: tuple[tuple[str, str], ...], ttl: timedelta | None, pools: Pools
) -> Row:
    key = tuple(draw(st.sampled_from(pools[name])) for name in keys)
    rare = draw(st.integers(0, 7))
    usual: st.SearchStrategy[datetime | timedelta] = _INSIDE if ttl else _INSIDE | _MOMENTS
    when = draw(_FUTURE if rare == 0 else _OUTSIDE if rare <= 2 else usual)
    return Row(key, when, tuple(draw(of_type(dtype)) for _, dtype in features))


def _projection(draw: Draw, view: View, alias: str | None = None) -> Projection:
    names = [name for name, _ in view.features]
    taken = tuple(draw(st.lists(st.sampled_from(names), min_size=1, max_size=len(names), unique=True)))
    return Projection(view.name, taken, alias)


def _service(draw: Draw, name: str, views: tuple[View, ...]) -> Service:
    chosen = draw(st.lists(st.sampled_from(views), min_size=1, max_size=3, unique_by=lambda view: view.name))
    projections = []
    for number, view in enumerate(chosen):
        projection = _projection(draw, view)
        if draw(st.integers(0, 3)) == 0:
            # A column under its own name and renamed: Feast takes the one that comes last for both.
            others = {key for other in chosen if other is not view for key in other.keys}
            renamed = tuple((key, f"{key} as {number}") for key in view.keys if key not in others)
            projection = Projection(view.name, projection.features, f"{view.name} as {number}", renamed)
        projections.append(projection)
    return Service(name, _unambiguous(projections))


def _list(draw: Draw, views: tuple[View, ...]) -> tuple[Projection, ...]:
    references = [(view.name, name) for view in views for name, _ in view.features]
    chosen = draw(st.lists(st.sampled_from(references), min_size=1, max_size=6, unique=True))
    return _unambiguous([Projection(view, (name,)) for view, name in chosen])


def _unambiguous(projections: list[Projection]) -> tuple[Projection, ...]:
    """Only features whose full names differ: Feast's answers tell features apart by view__feature."""
    seen: set[str] = set()
    kept = []
    for projection in projections:
        full = {name: f"{projection.shown_as}__{name}" for name in projection.features}
        fresh = tuple(name for name in projection.features if full[name] not in seen)
        seen |= set(full.values())
        if fresh:
            kept.append(Projection(projection.view, fresh, projection.alias, projection.renamed))
    return tuple(kept)


def _request(
    draw: Draw,
    service: str | None,
    projections: tuple[Projection, ...],
    keys: tuple[Key, ...],
    views: tuple[View, ...],
    pools: Pools,
) -> Request:
    by_name = {view.name: view for view in views}
    types = {key.name: key.dtype for key in keys}
    columns = {
        dict(projection.renamed).get(key, key): key
        for projection in projections
        for key in by_name[projection.view].keys
    }
    rows = []
    for _ in range(draw(st.integers(1, 6)) if columns else 1):
        row = {column: draw(st.sampled_from(pools[key])) for column, key in columns.items()}
        hit = draw(st.sampled_from(projections))  # a row that the view has, so that composite keys meet, too
        renamed = dict(hit.renamed)
        found = draw(st.sampled_from(by_name[hit.view].rows))
        row |= {renamed.get(key, key): value for key, value in zip(by_name[hit.view].keys, found.key, strict=True)}
        if row and draw(st.integers(0, 5)) == 0:
            stranger = draw(st.sampled_from(sorted(row)))
            row[stranger] = draw(of_key(types[columns[stranger]]))
        rows.append(row)
    if len(rows) > 1 and draw(st.booleans()):
        rows.append(rows[0])
    given = tuple((column, tuple(row[column] for row in rows)) for column in columns)
    return Request(service, projections, given, len(rows), draw(st.sampled_from(["null", "null", "serve"])))
