"""What is measured: how many rows a request, to which stores, over how many connections, by whom."""

from __future__ import annotations

import random
from dataclasses import dataclass

from benchmarks.pushing.contestants import PUSH_CONTESTANTS
from benchmarks.pushing.templates import Template

LEAST_USERS = 10_000
"""Fewer, and the batches that are on their way at the same time would hold the same users."""
_MOST_REQUESTS = 20_000


@dataclass(frozen=True)
class PushCase:
    """One kind of push under load."""

    name: str
    title: str
    to: str
    """As both servers say it: online, or online_and_offline."""
    rows: int
    """In a request."""
    connections: int
    contestants: tuple[str, ...]


PUSH_CASES = {
    case.name: case
    for case in (
        PushCase("push-one", "Push: 1 row a request, to online", "online", 1, 8, ("freshet", "feast")),
        PushCase(
            "push-batch",
            "Push: 1,000 rows a request, to online, 4 connections",
            "online",
            1_000,
            4,
            (
                "freshet",
                "freshet-ndjson",
                "freshet-arrow",
                "freshet-2",
                "freshet-ndjson-2",
                "freshet-arrow-2",
                "feast",
            ),
        ),
        PushCase(
            "push-both",
            "Push: 1 row a request, to online and offline, 32 connections",
            "online_and_offline",
            1,
            32,
            # Pushes at once spoil the file of Feast's store, and then nothing is answered any more.
            ("freshet", "feast", "feast-1"),
        ),
    )
}


def draw(case: PushCase, users: int) -> list[list[int]]:
    """User numbers for every request of the case, the same for each contestant. No user is in two of the requests, so
    that one which overtakes another makes no row of it late."""
    numbers = list(range(users))
    random.Random(case.name).shuffle(numbers)
    requests = min(_MOST_REQUESTS, users // case.rows)
    return [numbers[at * case.rows : (at + 1) * case.rows] for at in range(requests)]


def templates(case: PushCase, contestant: str, draws: list[list[int]]) -> list[Template]:
    """The same rows in the words of a contestant."""
    one = PUSH_CONTESTANTS[contestant]
    return [Template.of(one.request(case.to, numbers), one.form) for numbers in draws]
