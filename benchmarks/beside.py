"""What a request for one entity waits while others ask for ten thousand at a time."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from benchmarks import client, load
from benchmarks.cases import CASES, cost_case, draw, requests
from benchmarks.results import Beside
from benchmarks.world import World

ENTITIES = 10_000
CONTESTANT = "freshet"
_RATE = 100.0
"""Small requests a second: the server has time for them, so that what they wait is the big ones' doing."""


def measure(world: World, generator: load.Generator, round_number: int, seconds: int) -> list[Beside]:
    """The latencies of small requests at a steady rate: alone, and beside one connection that asks for ten thousand
    entities again and again."""
    server = world.servers[CONTESTANT, "redis"]
    small, big = CASES["one"], cost_case(ENTITIES)
    raw = [client.encode(one) for one in requests(small, CONTESTANT, world.dataset, draw(small, world.dataset))]
    file = world.folder / "beside.requests"
    load.write_requests(file, requests(big, CONTESTANT, world.dataset, draw(big, world.dataset)))

    def read_small() -> client.Outcome:
        outcome = client.Outcome()
        client.run(client.open_loop(server.port, raw, load.CONNECTIONS, seconds, _RATE, outcome))
        return outcome

    found = [_row(read_small(), None, round_number)]
    with ThreadPoolExecutor(1) as pool:
        # Longer than the small ones, so that they are never alone.
        bigs = pool.submit(load.apply, generator, server.port, file, seconds + 1, connections=1)
        outcome = read_small()
        others = bigs.result()
    server.settle()
    return [*found, _row(outcome, others.requests - others.failures, round_number)]


def _row(outcome: client.Outcome, others: int | None, round_number: int) -> Beside:
    return Beside(
        round=round_number,
        alone=others is None,
        others=others or 0,
        requests=len(outcome.latencies),
        failures=outcome.failures,
        p50=client.percentile(outcome.latencies, 50),
        p99=client.percentile(outcome.latencies, 99),
        longest=max(outcome.latencies, default=float("nan")),
    )
