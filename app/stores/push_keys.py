"""The ledger of idempotency keys, in the metadata database: one row per key, claimed before its push is written."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Mapped, mapped_column

from app.pushing.keys import Claim, ClaimState, Held
from app.stores.metadata import Base, MetadataStore


class PushKey(Base):
    """One Idempotency-Key of one push source. Times are UTC."""

    __tablename__ = "push_keys"
    __table_args__ = (sa.Index(None, "created_at"),)

    project: Mapped[str] = mapped_column(sa.String(255), primary_key=True)
    scope: Mapped[str] = mapped_column(sa.String(255), primary_key=True)
    """The push source."""
    key: Mapped[str] = mapped_column(sa.String(255), primary_key=True)
    fingerprint: Mapped[str] = mapped_column(sa.String(64))
    """SHA-256 of what was asked, in hex."""
    stamp: Mapped[int] = mapped_column(sa.BigInteger)
    """The first created timestamp of its rows, in microseconds since 1970."""
    created_at: Mapped[datetime] = mapped_column(sa.DateTime(timezone=True))
    claimed_at: Mapped[datetime | None] = mapped_column(sa.DateTime(timezone=True))
    """When somebody last began to write it; none: whoever began has given up."""
    renewed_at: Mapped[datetime | None] = mapped_column(sa.DateTime(timezone=True))
    """When whoever began was last known to be at it."""
    answer: Mapped[bytes | None] = mapped_column(sa.LargeBinary)


class PushKeys:
    """Implements app.pushing.keys.Ledger."""

    def __init__(self, metadata: MetadataStore, project: str) -> None:
        self._metadata = metadata
        self._project = project

    def claim(self, scope: str, key: str, fingerprint: str, stamp: int, now: datetime, stale: datetime) -> Claim:
        """See the protocol. One insert decides who is first; one conditional update who takes over."""
        with self._metadata.begin() as connection:
            insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
            values = {"fingerprint": fingerprint, "stamp": stamp, "created_at": now}
            values |= {"claimed_at": now, "renewed_at": now}
            fresh = insert(PushKey).values(project=self._project, scope=scope, key=key, **values)
            # By what it returns: psycopg does not tell how many rows such an insert has added.
            if connection.execute(fresh.on_conflict_do_nothing().returning(PushKey.key)).first():
                return Claim(ClaimState.MINE, stamp, claimed_at=now)
            mine = self._where(scope, key)
            found = connection.execute(
                sa.select(PushKey.fingerprint, PushKey.stamp, PushKey.answer).where(mine)
            ).one_or_none()
            if found is None:  # released in this moment: to be asked for again
                return Claim(ClaimState.RUNNING)
            if found.fingerprint != fingerprint:
                return Claim(ClaimState.REUSED)
            if found.answer is not None:
                return Claim(ClaimState.ANSWERED, found.stamp, found.answer)
            free = sa.or_(PushKey.claimed_at.is_(None), PushKey.renewed_at < stale)
            taken = sa.update(PushKey).where(mine, PushKey.answer.is_(None), free)
            if connection.execute(taken.values(claimed_at=now, renewed_at=now)).rowcount:
                return Claim(ClaimState.TAKEN_OVER, found.stamp, claimed_at=now)
            return Claim(ClaimState.RUNNING)

    def renew(self, held: Collection[Held], now: datetime) -> None:
        """See the protocol."""
        mine = sa.and_(
            self._where(sa.bindparam("of_scope"), sa.bindparam("of_key")),
            PushKey.claimed_at == sa.bindparam("since"),
            PushKey.answer.is_(None),
        )
        renewed = sa.update(PushKey).where(mine).values(renewed_at=now)
        claims = [{"of_scope": scope, "of_key": key, "since": claim.claimed_at} for scope, key, claim in held]
        with self._metadata.begin() as connection:
            connection.execute(renewed, claims)

    def finish(self, scope: str, key: str, claim: Claim, answer: bytes) -> None:
        """See the protocol."""
        with self._metadata.begin() as connection:
            connection.execute(sa.update(PushKey).where(self._running(scope, key, claim)).values(answer=answer))

    def release(self, scope: str, key: str, claim: Claim) -> None:
        """See the protocol."""
        with self._metadata.begin() as connection:
            connection.execute(sa.delete(PushKey).where(self._running(scope, key, claim)))

    def abandon(self, scope: str, key: str, claim: Claim) -> None:
        """See the protocol."""
        with self._metadata.begin() as connection:
            connection.execute(sa.update(PushKey).where(self._running(scope, key, claim)).values(claimed_at=None))

    def expire(self, before: datetime) -> int:
        """See the protocol."""
        with self._metadata.begin() as connection:
            old = sa.delete(PushKey).where(PushKey.project == self._project, PushKey.created_at < before)
            return connection.execute(old).rowcount

    def _running(self, scope: str, key: str, claim: Claim) -> sa.ColumnElement[bool]:
        """That claim and no later one, as long as it has no answer."""
        return sa.and_(self._where(scope, key), PushKey.claimed_at == claim.claimed_at, PushKey.answer.is_(None))

    def _where(self, scope: str | sa.BindParameter[str], key: str | sa.BindParameter[str]) -> sa.ColumnElement[bool]:
        return sa.and_(PushKey.project == self._project, PushKey.scope == scope, PushKey.key == key)
