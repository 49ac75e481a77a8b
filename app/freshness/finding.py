"""What the probe finds out about the data of one view: moments, so that it ages by itself between two probes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from app.domain import to_microseconds, to_moment
from app.freshness.ports import ViewSample, WriteMark

_SECOND = 1_000_000


@dataclass(frozen=True, slots=True)
class EntityAges:
    """Ages of sampled entities at the time of the probe, in seconds: the value of nearest rank for each quantile."""

    p50: float
    p95: float
    max: float


@dataclass(frozen=True, slots=True)
class Finding:
    """What is known of a view's data. Times are UTC; what is unknown, or is not there, is None.

    `newest` is the newest event timestamp that counts; `watermark` up to where the view's push source has been declared
    complete; `last_write` and `last_write_rows` what writers have left. `sampled` entities were looked at, None: the
    store cannot be looked into; `future` of them lie further ahead than clocks differ and count nowhere else;
    `beyond_sla` of them are older than the SLA. `has_rows`: whether the view has data at all, None: nobody can tell.
    """

    has_rows: bool | None = None
    newest: datetime | None = None
    watermark: datetime | None = None
    last_write: datetime | None = None
    last_write_rows: int | None = None
    sampled: int | None = None
    future: int = 0
    ages: EntityAges | None = None
    beyond_sla: int | None = None

    @property
    def reference(self) -> datetime | None:
        """The moment up to which the data are known to go; None: nothing that is there counts."""
        known = [moment for moment in (self.newest, self.watermark) if moment is not None]
        return max(known) if self.has_rows and known else None


def observe(
    sample: ViewSample | None,
    mark: WriteMark | None,
    watermark: datetime | None,
    sla: timedelta | None,
    before: Finding | None,
    now: datetime,
    skew: timedelta,
) -> Finding:
    """What a look at a view shows. `before` is what the look before it has shown.

    A store that was looked through and is empty has no rows, whatever mark the writers have left. Of one that was not,
    a sample may miss the newest row: what an earlier look has met still holds, so that the newest moment never goes
    back by the luck of the draw.
    """
    moments = () if sample is None else sample.moments
    at = to_microseconds(now)
    horizon = at + skew // timedelta(microseconds=1)
    counted = sorted(min(moment, at) for moment in moments if moment <= horizon)
    whole = sample is not None and sample.whole
    emptied = whole and not moments
    known = [to_moment(counted[-1])] if counted else []
    if mark is not None and not emptied:
        known.append(min(mark.newest, now))
    if before is not None and before.newest is not None and not whole:
        known.append(min(before.newest, now))
    return Finding(
        has_rows=True if moments or known else None if sample is None else False,
        newest=max(known, default=None),
        watermark=watermark,
        last_write=None if mark is None else mark.last_write,
        last_write_rows=None if mark is None else mark.rows,
        sampled=None if sample is None else len(moments),
        future=len(moments) - len(counted),
        ages=_ages(counted, at),
        beyond_sla=None if sla is None or sample is None else _older(counted, at - sla // timedelta(microseconds=1)),
    )


def nearest_rank(ordered: Sequence[int], percent: int) -> int:
    """The smallest of `ordered`, which ascend and are not empty, that so many percent of them do not exceed."""
    return ordered[-(-percent * len(ordered) // 100) - 1]


def _ages(moments: Sequence[int], at: int) -> EntityAges | None:
    if not moments:
        return None
    ages = [at - moment for moment in reversed(moments)]
    return EntityAges(nearest_rank(ages, 50) / _SECOND, nearest_rank(ages, 95) / _SECOND, ages[-1] / _SECOND)


def _older(moments: Sequence[int], limit: int) -> int:
    return sum(moment < limit for moment in moments)
