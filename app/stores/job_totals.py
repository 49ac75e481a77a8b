"""What has become of all background jobs, those included that are forgotten by now: numbers that only grow.

A job is counted in the transaction that ends it, so it is counted once however often its worker repeats the end.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Mapped, mapped_column

from app.job import Job, JobState
from app.stores.metadata import Base, MetadataStore

BOUNDS: Sequence[float] = (0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200)
"""Upper bounds, in seconds, of the buckets in which durations of succeeded jobs are counted; beyond is one more."""


class JobTotal(Base):
    """How many jobs of a kind have ended in which state, with how many rows and after how many seconds together."""

    __tablename__ = "job_totals"

    project: Mapped[str] = mapped_column(sa.String(255), primary_key=True)
    kind: Mapped[str] = mapped_column(sa.String(32), primary_key=True)
    state: Mapped[str] = mapped_column(sa.String(16), primary_key=True)
    jobs: Mapped[int] = mapped_column(sa.BigInteger)
    rows: Mapped[int] = mapped_column(sa.BigInteger)
    seconds: Mapped[float] = mapped_column(sa.Double)


class JobDuration(Base):
    """How many succeeded jobs of a kind took no longer than the bound of this number, and longer than that before."""

    __tablename__ = "job_durations"

    project: Mapped[str] = mapped_column(sa.String(255), primary_key=True)
    kind: Mapped[str] = mapped_column(sa.String(32), primary_key=True)
    bucket: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    jobs: Mapped[int] = mapped_column(sa.BigInteger)


@dataclass(frozen=True)
class Totals:
    """The totals of one project. `ended` by kind and state; `rows` and `seconds` of succeeded jobs by kind, `durations`
    their number by kind and by bucket, of which there is one more than BOUNDS."""

    ended: Mapping[tuple[str, ...], int] = field(default_factory=dict)
    rows: Mapping[str, int] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)
    durations: Mapping[str, Sequence[int]] = field(default_factory=dict)


def count_end(connection: sa.Connection, job: Job) -> None:
    """Count a job that this transaction has ended. Its time is that since the first attempt began."""
    began, ended = job.started_at, job.finished_at
    seconds = max(0.0, (ended - began).total_seconds()) if began and ended else 0.0
    succeeded = job.state is JobState.SUCCEEDED
    rows = int((job.result or {}).get("rows") or 0) if succeeded else 0
    place = {"project": job.project, "kind": job.kind}
    _add(connection, JobTotal, place | {"state": job.state.value}, {"jobs": 1, "rows": rows, "seconds": seconds})
    if succeeded:
        bucket = sum(seconds > bound for bound in BOUNDS)
        _add(connection, JobDuration, place | {"bucket": bucket}, {"jobs": 1})


def _add(connection: sa.Connection, table: type[Base], key: Mapping[str, Any], more: Mapping[str, float]) -> None:
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    row = insert(table).values({**key, **more})
    columns = table.__table__.c
    grown = {name: columns[name] + row.excluded[name] for name in more}
    connection.execute(row.on_conflict_do_update(index_elements=list(key), set_=grown))


def read_totals(metadata: MetadataStore, project: str) -> Totals:
    """What has become of all jobs of a project. Blocks; raises StoreUnavailableError."""
    with metadata.begin() as connection:
        totals = connection.execute(sa.select(JobTotal.__table__).where(JobTotal.project == project)).all()
        found = connection.execute(sa.select(JobDuration.__table__).where(JobDuration.project == project)).all()
    durations: dict[str, list[int]] = {}
    for row in found:
        durations.setdefault(row.kind, [0] * (len(BOUNDS) + 1))[row.bucket] = row.jobs
    succeeded = [row for row in totals if row.state == JobState.SUCCEEDED.value]
    return Totals(
        {(row.kind, row.state): row.jobs for row in totals},
        {row.kind: row.rows for row in succeeded},
        {row.kind: row.seconds for row in succeeded},
        durations,
    )
