"""What the online store holds: feature views, and for every entity the values that a read must give back.

Every row is a pure function of the seed, the view and the entity's number, so that whoever checks an answer computes
what must be in it instead of reading it from anywhere.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

Value = int | float | str | bool | datetime | None

_NULLS = 0.02
_MISSING_EVERY = 50  # 2 % of the entities have no row at all
_HALF_MISSING_EVERY = 101  # 1 % have none in the last view of their service
_AGES = timedelta(hours=1)
_COUNTRIES = ["AR", "AT", "BR", "CA", "CH", "DE", "ES", "FR", "GB", "IN", "JP", "KR", "MX", "NL", "SE", "US"]
_MODELS = ["heron-mini", "heron-large", "osprey", "kingfisher-2026-04", "wren"]
_SINCE = datetime(2020, 1, 1, tzinfo=UTC)

_MAKERS: dict[str, Callable[[random.Random], Value]] = {
    "Int64": lambda dice: int(dice.expovariate(1 / 40)) if dice.random() < 0.9 else dice.getrandbits(40),
    "Float64": lambda dice: round(dice.lognormvariate(3, 1), 2),
    # With few enough bits to be the same number as float32 and as float64.
    "Float32": lambda dice: dice.randrange(0, 1 << 20) / 64,
    "String": lambda dice: dice.choice(_COUNTRIES if dice.random() < 0.5 else _MODELS),
    "Bool": lambda dice: dice.random() < 0.3,
    "UnixTimestamp": lambda dice: _SINCE + timedelta(seconds=dice.randrange(0, 6 * 365 * 86400)),
}


@dataclass(frozen=True)
class View:
    """A feature view: `fields` maps feature names to names of Feast's types."""

    name: str
    entity: str
    fields: dict[str, str]


@dataclass(frozen=True)
class Service:
    """A feature service over all features of its views, which share one entity with `entities` numbers."""

    name: str
    entity: str
    views: tuple[View, ...]

    @property
    def features(self) -> list[tuple[View, str]]:
        """(view, feature) in the order in which the service declares them."""
        return [(view, feature) for view in self.views for feature in view.fields]


USER = Service(
    "user_v1",
    "user_id",
    (
        View(
            "user_profile",
            "user_id",
            {
                "age_days": "Int64",
                "country": "String",
                "subscriber": "Bool",
                "signed_up": "UnixTimestamp",
                "lifetime_value": "Float64",
            },
        ),
        View(
            "user_sessions",
            "user_id",
            {"sessions_7d": "Int64", "mean_session_seconds": "Float32", "messages_7d": "Int64", "last_model": "String"},
        ),
    ),
)
"""9 features of 2 views."""

_MIX = ["Int64", "Float64", "Float64", "String", "Int64", "Float32", "Bool", "Int64", "UnixTimestamp", "Float64"]
ACCOUNT = Service(
    "account_v1",
    "account_id",
    tuple(
        View(f"account_{number}", "account_id", {f"v{number}_f{index}": kind for index, kind in enumerate(_MIX)})
        for number in range(10)
    ),
)
"""100 features of 10 views, of an entity of its own: its hashes must not widen those of the users."""


@dataclass(frozen=True)
class Row:
    """One view's row of one entity."""

    event_timestamp: datetime
    values: dict[str, Value]


class Dataset:
    """`users` and `accounts` entities, as old as an hour at `written`; the same for the same arguments."""

    def __init__(self, users: int, accounts: int, written: datetime, seed: int = 7) -> None:
        self.written = written
        self.seed = seed
        self._counts = {USER.entity: users, ACCOUNT.entity: accounts}

    def count(self, service: Service) -> int:
        """How many entity numbers there are, those without rows included."""
        return self._counts[service.entity]

    def entity_id(self, service: Service, number: int) -> str:
        """The join key's value. All have the same length, which lets the relay find them with one expression."""
        return f"{service.entity[0]}{number:07d}"

    def row(self, view: View, number: int) -> Row | None:
        """What the online store holds of an entity in a view; None where it has no row."""
        last = next(service for service in (USER, ACCOUNT) if service.entity == view.entity).views[-1]
        if number % _MISSING_EVERY == 17 or (view is last and number % _HALF_MISSING_EVERY == 5):
            return None
        dice = random.Random(f"{self.seed}:{view.name}:{number}")
        age = timedelta(microseconds=dice.randrange(1, int(_AGES / timedelta(microseconds=1))))
        values = {name: None if dice.random() < _NULLS else _MAKERS[kind](dice) for name, kind in view.fields.items()}
        return Row(self.written - age, values)

    def expected(self, service: Service, numbers: Sequence[int]) -> list[list[Value]]:
        """Per entity the values of the service's features, in the service's order; None for null and for missing."""
        answer: list[list[Value]] = []
        for number in numbers:
            rows = {view.name: self.row(view, number) for view in service.views}
            answer.append(
                [row.values[feature] if (row := rows[view.name]) else None for view, feature in service.features]
            )
        return answer
