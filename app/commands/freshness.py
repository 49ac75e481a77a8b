"""freshet freshness: how fresh the online data are, as a table or as JSON."""

from __future__ import annotations

from app.api.freshness import shown
from app.commands.console import out
from app.commands.freshness_table import print_table
from app.deployment import Deployment, deployment, freshness_probe, now
from app.domain import ViewSpec
from app.errors import NotFoundError, StoreUnavailableError
from app.freshness.board import FreshnessBoard, monitored
from app.freshness.monitor import NAME
from app.freshness.snapshot import FreshnessSnapshot
from app.freshness.view import FreshnessStatus, ViewFreshness
from app.settings import Settings
from app.stores.snapshots import StoredSnapshots

BREACHED, UNKNOWN = 1, 2
_TERMS = 3
"""A snapshot that is older than so many intervals tells nothing: nobody probes."""


def freshness(names: list[str] | None, as_json: bool) -> int:
    """Look at the online store, whether or not a server runs, and print how fresh the named views are, or all. The exit
    status: 0, BREACHED where one breaks its SLA, else UNKNOWN where that cannot be told of one.

    Where the store does not answer, what the deployment's last probe has found is shown, if it is young enough. Raises
    NotFoundError for a name that is not known, and what opening the deployment raises.
    """
    settings = Settings()
    with deployment(settings) as parts:
        views = chosen(monitored(parts.catalog), names)
        board = FreshnessBoard(now, settings.freshness_interval)
        board.snapshot, own = look(parts)
        at = board.now()
        states = board.all(views, at)
        if as_json:
            out.print_json(shown(board, states, at).model_dump_json())
        else:
            print_table(states, None if own else at - board.snapshot.taken_at)
    return exit_status(states)


def chosen(views: list[ViewSpec], names: list[str] | None) -> list[ViewSpec]:
    """The views of these names, or all. Raises NotFoundError that lists the known ones."""
    known = {view.name: view for view in views}
    for name in names or ():
        if name not in known:
            listed = ", ".join(known) or "none yet; run `freshet apply`"
            raise NotFoundError(f"There is no feature view {name} that is kept online. Known: {listed}")
    return [known[name] for name in names] if names else views


def look(parts: Deployment) -> tuple[FreshnessSnapshot, bool]:
    """What a probe of all views finds, and that it was our own; else what the last one of the deployment has found.
    Raises StoreUnavailableError where none succeeds and none has for long."""
    snapshots = StoredSnapshots(parts.metadata, parts.repo.project)
    kept = snapshots.latest(NAME)
    try:
        before = None if kept is None else FreshnessSnapshot.from_json(kept[1])
    except ValueError:  # another version of this program wrote it
        before = None
    probe = freshness_probe(parts.settings, parts.repo, parts.online, parts.metadata, lambda: parts.feast_views)
    try:
        return probe.look(monitored(parts.catalog), before), True
    except StoreUnavailableError:
        if before is None or now() - before.taken_at > _TERMS * before.interval:
            raise
        return before, False


def exit_status(states: list[ViewFreshness]) -> int:
    """What a scheduler that gates on it must know: a breach is certain whatever else is not known."""
    if any(state.breached for state in states):
        return BREACHED
    return UNKNOWN if any(state.status is FreshnessStatus.UNKNOWN for state in states) else 0
