"""Writing a group of pushes to one push source: offline first, in one append, then online, in one write per view."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import datetime

import structlog

from app.domain import PushOutcome, PushTarget, ViewSpec, to_microseconds
from app.errors import CommitUnknownError, FreshetError, InvalidRequestError, StoreUnavailableError, UnstorableRowsError
from app.pushing.batch import RowBatch
from app.pushing.coverage import Coverage, Covered
from app.pushing.due import DueRows
from app.pushing.grouped import GroupedPush
from app.pushing.ports import OfflineWriter, OnlineWriter
from app.pushing.schema import PushSchema
from app.pushing.stamps import Stamps, stamped

log = structlog.get_logger(__name__)

_AHEAD = "ahead of the clock: written online when it is due"
_LATE = "older than what is stored"
_KEPT = (
    "The rows are kept offline, and the server writes them online by itself when it can; pushing them again with "
    "to=online does no harm"
)
_UNKNOWN = "The rows may still be written; pushing them again does no harm"
_WRITTEN = (PushOutcome.APPLIED, PushOutcome.LATE, PushOutcome.DUPLICATE)
"""The outcomes of a row in several views, the one that counts for the row first."""


class GroupWriter:
    """Writes groups. What fails fails for the pushes that it concerns, and for no other of the group."""

    def __init__(
        self,
        online: OnlineWriter,
        offline: OfflineWriter,
        due: DueRows,
        clock: Callable[[], datetime],
        coverage: Coverage | None = None,
    ) -> None:
        """`coverage` lets what fails between the two stores be repaired; without it nobody does."""
        self._online = online
        self._offline = offline
        self._due = due
        self._clock = clock
        self._coverage = coverage
        self._stamps = Stamps()

    def reserve(self, rows: int) -> int:
        """The first of so many created timestamps that no other row is given."""
        return self._stamps.reserve(rows, to_microseconds(self._clock()))

    def require_room(self, schema: PushSchema, push: GroupedPush) -> None:
        """Raises TooBusyError where rows of the push would have to wait for their time beside too many others."""
        if push.target.online and any(view.online and view.enabled for view in schema.views):
            self._due.require_room(push.checked.batch.event)

    def write(self, schema: PushSchema, group: Sequence[GroupedPush]) -> None:
        """Write the group; afterwards each push of it has an error or a result. Blocks. From any thread."""
        now = to_microseconds(self._clock())
        for push in group:
            rows = push.checked.batch
            push.batch = self._stamps.stamp(rows, now) if push.stamp is None else stamped(rows, push.stamp)
            push.places = list(range(len(push.batch)))
            push.outcomes = [PushOutcome.APPLIED] * len(push.batch)
            push.unkept = range(len(push.batch))
        with ExitStack() as stack:
            covered = self._cover(stack, schema.push_source, group)
            offline = [push for push in group if push.target.offline]
            self._leave_out_kept(schema.views, offline)
            self._write_offline(schema.views, offline)
            self._write_online(schema.views, [push for push in group if push.target.online], now)
            for push in group:
                if push.owed and covered is not None:
                    covered.owe(min(push.batch.event), max(push.batch.event))

    def _cover(self, stack: ExitStack, push_source: str, group: Sequence[GroupedPush]) -> Covered | None:
        """Let it be known, until the end of `stack`, what the online store may lack if we do not get to write it."""
        both = [push for push in group if push.target is PushTarget.ONLINE_AND_OFFLINE and push.places]
        if self._coverage is None or not both:
            return None
        low = min(min(push.batch.event) for push in both)
        try:
            return stack.enter_context(self._coverage.covering(push_source, low))
        except FreshetError as error:
            for push in both:
                push.fail(StoreUnavailableError(f"{error.detail}. Nothing was kept"))
        return None

    def _leave_out_kept(self, views: Sequence[ViewSpec], group: Sequence[GroupedPush]) -> None:
        """Append no row again of a push that was begun before, and went so far."""
        again = [push for push in group if push.again and push.places and push.error is None]
        if not again:
            return
        try:
            for push, missing in zip(again, self._offline.missing(views, [push.batch for push in again]), strict=True):
                push.unkept = missing
        except Exception as error:  # whatever it is, the others of the group have nothing to do with it
            if not isinstance(error, FreshetError):
                log.exception("the offline store cannot be asked for what it has")
                reason = f"The offline store cannot be asked for what it has ({type(error).__name__})"
                error = StoreUnavailableError(f"{reason}. {_UNKNOWN}")
            for push in again:
                push.fail(error)

    def _write_offline(self, views: Sequence[ViewSpec], group: Sequence[GroupedPush]) -> None:
        waiting = deque([group])
        while waiting:
            group = [push for push in waiting.popleft() if push.unkept and push.error is None]
            if not group:
                continue
            try:
                self._offline.append_batch(views, RowBatch.joined([_unkept(push) for push in group]))
            except UnstorableRowsError as refused:
                faulty = _leave_out(group, refused)
                # Nobody else is to wait for what the store finds in them one by one.
                waiting.append([push for push in group if push not in faulty])
                waiting.extend([push] for push in faulty)
            except StoreUnavailableError as error:
                unknown = isinstance(error, CommitUnknownError)
                says_so = unknown or error.detail.lower().endswith("nothing was kept")
                for push in group:
                    push.fail(type(error)(error.detail if says_so else f"{error.detail}. Nothing was kept"))
                    push.owed = unknown and push.target.online

    def _write_online(self, views: Sequence[ViewSpec], group: Sequence[GroupedPush], now: int) -> None:
        group = [push for push in group if push.places and push.error is None]
        if not group:
            return
        batch = RowBatch.joined([push.batch for push in group])
        try:
            outcomes, ahead = self._write_views(views, batch, now)
        except StoreUnavailableError as error:
            for push in group:
                kept = push.target.offline
                # What a store has read before it stopped answering it may still write when it goes on.
                push.fail(StoreUnavailableError(f"{error.detail}. {_KEPT if kept else _UNKNOWN}"))
                push.owed = kept
            return
        except FreshetError as error:
            if len(group) == 1:
                group[0].fail(error)
                return
            # A value of one of them that has no form online, say: the others must not fail with it.
            for push in group:
                self._write_online(views, [push], now)
            return
        _share_out(group, outcomes, frozenset(ahead))

    def _write_views(
        self, views: Sequence[ViewSpec], batch: RowBatch, now: int
    ) -> tuple[Sequence[PushOutcome], Sequence[int]]:
        """The outcome of each row over all views, and the places of those that are not due yet."""
        ahead = [place for place, event in enumerate(batch.event) if event > now] if max(batch.event) > now else []
        due = [place for place, event in enumerate(batch.event) if event <= now] if ahead else range(len(batch))
        ready = batch.take(due) if ahead else batch
        found: list[Sequence[PushOutcome]] = []
        for view in (view for view in views if view.online and view.enabled):
            if due:
                found.append(self._online.write(view, ready))
            self._due.add(view, batch, ahead)
        merged = _merged(found, len(due))
        if not ahead:
            return merged, ahead
        outcomes = [PushOutcome.APPLIED] * len(batch)
        for place, outcome in zip(due, merged, strict=True):
            outcomes[place] = outcome
        return outcomes, ahead


def _merged(found: Sequence[Sequence[PushOutcome]], rows: int) -> Sequence[PushOutcome]:
    """One outcome per row over all views: applied where any view took the row, or none was written."""
    if not found:
        return [PushOutcome.APPLIED] * rows
    if len(found) == 1:
        return found[0]
    return [next(outcome for outcome in _WRITTEN if outcome in row) for row in zip(*found, strict=True)]


def _unkept(push: GroupedPush) -> RowBatch:
    return push.batch if len(push.unkept) == len(push.batch) else push.batch.take(push.unkept)


def _leave_out(group: Sequence[GroupedPush], refused: UnstorableRowsError) -> list[GroupedPush]:
    """Reject the rows that the offline store cannot keep; an atomic push of which one is goes as a whole. The pushes
    that they are of."""
    faulty = []
    start = 0
    for push in group:
        rows = len(push.unkept)
        mine = {push.unkept[at - start]: faults for at, faults in refused.faults.items() if start <= at < start + rows}
        start += rows
        if not mine:
            continue
        faulty.append(push)
        if push.atomic:
            faults = [fault for found in mine.values() for fault in found]
            push.fail(InvalidRequestError("Rows were rejected, and all or none are written", faults))
            continue
        for at, found in mine.items():
            push.outcomes[push.places[at]] = PushOutcome.REJECTED
            push.reasons[push.places[at]] = "; ".join(f"{fault.field}: {fault.message}" for fault in found)
        kept = [at for at in range(len(push.batch)) if at not in mine]
        unkept = {*push.unkept}
        push.unkept = [place for place, at in enumerate(kept) if at in unkept]
        push.places = [push.places[at] for at in kept]
        push.batch = push.batch.take(kept)
    return faulty


def _share_out(group: Sequence[GroupedPush], outcomes: Sequence[PushOutcome], ahead: frozenset[int]) -> None:
    """Give each push what became of its rows."""
    at = 0
    for push in group:
        for place in push.places:
            outcome = push.outcomes[place] = outcomes[at]
            if at in ahead:
                push.reasons[place] = _AHEAD
            elif outcome is PushOutcome.LATE:
                push.reasons[place] = _LATE
            at += 1
