"""The look at one view: some entities as they are served and as they are joined at the same instant."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from app.domain import Catalog, to_microseconds, to_moment
from app.errors import NotServableError, TransformError
from app.freshness.ports import OnlineSampler
from app.planning.select import select_features
from app.skew.compare import Outcome, Side, Verdict, judge, judge_computed
from app.skew.entities import Entity, EntitySampler
from app.skew.findings import Mismatch
from app.skew.offline import OfflineSide
from app.skew.online import OnlineSide
from app.skew.ports import Materialized
from app.skew.settled import Settled
from app.skew.subjects import Subject
from app.values import to_json


@dataclass(frozen=True)
class Look:
    """What one look at a view has found: how many entities came to which outcome, and the mismatches."""

    counts: Mapping[Outcome, int]
    mismatches: Sequence[Mismatch]


class SkewProbe:
    """Looks at one view at a time. Blocks; it reads what requests read, and writes nothing."""

    def __init__(
        self,
        sampler: EntitySampler,
        online: OnlineSide,
        offline: OfflineSide,
        materialized: Materialized,
        marks: OnlineSampler | None,
        clock: Callable[[], datetime],
        pause: timedelta = timedelta(seconds=1),
    ) -> None:
        """`marks` tells when a view was last written online. `pause`: how long after a first look at what differs the
        second one comes."""
        self._sampler = sampler
        self._online = online
        self._offline = offline
        self._materialized = materialized
        self._marks = marks
        self._clock = clock
        self._pause = pause.total_seconds()
        self._stopping = threading.Event()

    def look(self, catalog: Catalog, subject: Subject) -> Look:
        """Compare some entities of the view. What differs is read a second time: a row that was written between the
        reads of both sides is no skew. Raises StoreUnavailableError, ConfigurationError, and NotServableError, also
        where an on-demand function fails on every entity."""
        entities = self._sampler.sample(subject.views, self._clock())
        verdicts, moments = self._verdicts(catalog, subject, entities)
        if verdicts and all(verdict.outcome is Outcome.FAILING for verdict in verdicts):
            raise NotServableError(verdicts[0].reason or "")
        doubtful = [place for place, verdict in enumerate(verdicts) if verdict.outcome is Outcome.MISMATCHED]
        if doubtful and not self._stopping.wait(self._pause):
            again, then = self._verdicts(catalog, subject, [entities[place] for place in doubtful])
            for place, verdict, moment in zip(doubtful, again, then, strict=True):
                verdicts[place], moments[place] = verdict, moment
        now = self._clock()
        counts = {outcome: sum(verdict.outcome is outcome for verdict in verdicts) for outcome in Outcome}
        found = [
            _mismatch(subject, entity, verdict, moment, now)
            for entity, verdict, moment in zip(entities, verdicts, moments, strict=True)
            if verdict.kind is not None
        ]
        return Look(counts, found)

    def stop(self) -> None:
        """Let what runs end soon."""
        self._stopping.set()

    def close(self) -> None:
        """Let no more be computed."""
        self._online.close()

    def _verdicts(
        self, catalog: Catalog, subject: Subject, entities: Sequence[Entity]
    ) -> tuple[list[Verdict], list[int | None]]:
        """By entity the verdict, and the event timestamp that it is about."""
        if not entities:
            return [], []
        references = subject.references
        outputs = select_features(catalog, references, lambda _: None).outputs
        dtypes = [output.dtype for output in outputs]
        at = self._clock()
        if subject.on_demand:
            return self._computed(catalog, subject, entities, dtypes, at), [None] * len(entities)
        online = [_computable(side) for side in self._online.read(catalog, references, entities, at)]
        offline = self._offline.join(catalog, references, entities, at)
        (view,) = subject.views
        settled = Settled(view, self._materialized, self._marks)
        times = self._offline.times(view, entities, at)
        dated = [dataclasses.replace(side, moment=moment) for side, (moment, _) in zip(offline, times, strict=True)]
        verdicts = [
            judge(one, other, dtypes, to_microseconds(at), view.push_source is not None, partial(settled.is_so, row))
            for one, other, row in zip(online, dated, times, strict=True)
        ]
        return verdicts, [_about(one, other) for one, other in zip(online, dated, strict=True)]

    def _computed(
        self, catalog: Catalog, subject: Subject, entities: Sequence[Entity], dtypes: Sequence[str], at: datetime
    ) -> list[Verdict]:
        online = self._online.read(catalog, subject.references, entities, at)
        asked = [entity for entity, side in zip(entities, online, strict=True) if isinstance(side, Side)]
        joined = iter(self._offline.join_apart(catalog, subject.references, asked, at))
        verdicts = []
        for one in online:
            other = next(joined) if isinstance(one, Side) else one
            if isinstance(one, Side) and isinstance(other, Side):
                verdicts.append(judge_computed(one, other, dtypes, len(subject.inputs)))
            else:
                verdicts.append(Verdict(Outcome.FAILING, reason=getattr(other, "detail", None)))
        return verdicts


def _computable(side: Side | TransformError) -> Side:
    if isinstance(side, TransformError):
        raise side
    return side


def _about(online: Side, offline: Side) -> int | None:
    known = [moment for moment in (online.moment, offline.moment) if moment is not None]
    return max(known, default=None)


def _mismatch(subject: Subject, entity: Entity, verdict: Verdict, moment: int | None, now: datetime) -> Mismatch:
    names = subject.references
    if verdict.kind is None:
        raise ValueError("only a mismatch has a kind")
    shown: dict[str, Any] = {name: to_json(value) for name, value in entity.items()}
    return Mismatch(
        subject.name,
        shown,
        tuple(names[place].partition(":")[2] for place in verdict.features),
        verdict.kind,
        now,
        None if moment is None else to_moment(moment),
    )
