"""What is measured: which features of how many entities, from which store, by whom."""

from __future__ import annotations

import random
from dataclasses import dataclass

from benchmarks.contestants import CONTESTANTS, Request
from benchmarks.dataset import ACCOUNT, USER, Dataset, Service


@dataclass(frozen=True)
class Case:
    """One kind of read under load."""

    name: str
    title: str
    service: Service
    store: str
    entities: int
    contestants: tuple[str, ...]
    distinct: int
    """How many different requests are made ready; they are sent in turn."""

    @property
    def values(self) -> int:
        """How many values an answer holds."""
        return self.entities * len(self.service.features)

    def pairs(self) -> set[tuple[str, str]]:
        """The (server, store) pairs that it needs."""
        return {(CONTESTANTS[name].server, self.store) for name in self.contestants}


CASES = {
    case.name: case
    for case in (
        Case(
            "one",
            "9 features of 2 views, 1 entity, Redis",
            USER,
            "redis",
            1,
            ("freshet", "freshet-get", "feast", "relay"),
            20_000,
        ),
        Case(
            "hundred",
            "9 features of 2 views, 100 entities, Redis",
            USER,
            "redis",
            100,
            ("freshet", "feast", "relay"),
            2_000,
        ),
        Case(
            "wide",
            "100 features of 10 views, 50 entities, Redis",
            ACCOUNT,
            "redis",
            50,
            ("freshet", "feast", "relay", "relay-all"),
            2_000,
        ),
        Case(
            "sqlite-one",
            "9 features of 2 views, 1 entity, SQLite",
            USER,
            "sqlite",
            1,
            ("freshet", "freshet-get", "feast"),
            20_000,
        ),
        Case(
            "sqlite-hundred",
            "9 features of 2 views, 100 entities, SQLite",
            USER,
            "sqlite",
            100,
            ("freshet", "feast"),
            2_000,
        ),
    )
}

COST = "cost"
"""The name of the cost table where cases are chosen."""
BESIDE = "beside"
"""The name of the table of small requests beside big ones."""
COST_SIZES = (1, 10, 100, 1_000, 10_000)
COST_CONTESTANTS = ("freshet", "feast", "relay")


def _pool(entities: int) -> int:
    return max(4, min(2_000, 20_000 // entities))


def cost_case(entities: int) -> Case:
    """A row of the cost table."""
    return Case(f"cost-{entities}", "", USER, "redis", entities, COST_CONTESTANTS, _pool(entities))


def draw(case: Case, dataset: Dataset) -> list[list[int]]:
    """Entity numbers for every request of the case: random, distinct within a request, the same for each contestant."""
    dice = random.Random(case.name)
    population = range(dataset.count(case.service))
    distinct = min(case.distinct, max(4, len(population)))
    return [dice.sample(population, case.entities) for _ in range(distinct)]


def requests(case: Case, contestant: str, dataset: Dataset, draws: list[list[int]]) -> list[Request]:
    """The same reads in the words of a contestant."""
    ask = CONTESTANTS[contestant].request
    return [ask(case.service, [dataset.entity_id(case.service, number) for number in numbers]) for numbers in draws]
