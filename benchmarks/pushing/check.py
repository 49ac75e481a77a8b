"""Before anything is timed: is what a server says it has written there, online and offline?"""

from __future__ import annotations

import orjson

from benchmarks import client
from benchmarks.check import WrongAnswerError
from benchmarks.contestants import CONTESTANTS
from benchmarks.pushing.cases import PushCase
from benchmarks.pushing.contestants import FEAST, PUSH_CONTESTANTS
from benchmarks.pushing.load import moment
from benchmarks.pushing.rows import SERVICE, VIEW, user_id, values
from benchmarks.pushing.templates import Template
from benchmarks.pushing.world import PushWorld

_ROWS = 200
_ROWS_REWRITTEN = 20
"""Into Feast's Parquet file, which is written anew for each."""
_READ_AT_ONCE = 100


def check(case: PushCase, contestant: str, world: PushWorld, draws: list[list[int]], templates: list[Template]) -> int:
    """Push some of the requests once over the case's connections, and read their rows back; how many there were.

    Raises WrongAnswerError at the first answer that is not 200 or names a row that was not applied, at the first value
    that is read back otherwise, and where the offline store has not exactly these rows. `feast serve` is only asked
    over one connection: its file store loses rows when two pushes come at once.
    """
    one = PUSH_CONTESTANTS[contestant]
    connections = 1 if one.server == FEAST else case.connections
    if one.server == FEAST and "offline" in case.to:
        count = _ROWS_REWRITTEN
    else:
        count = max(case.connections, -(-_ROWS // case.rows))
    draws, templates = draws[:count], templates[:count]
    world.offline[one.server].reset()
    port, start = world.servers[one.server].port, moment()
    raw = [template.at(start + turn) for turn, template in enumerate(templates)]
    for answer in client.run(client.ask_all(port, raw, connections)):
        if answer.status != 200:
            raise WrongAnswerError(f"{contestant} answered {case.name} with {answer.status}: {answer.body[:500]!r}")
        if one.server != FEAST and orjson.loads(answer.body)["applied"] != case.rows:
            raise WrongAnswerError(f"{contestant} did not apply every row of {case.name}: {answer.body[:500]!r}")
    numbers = [number for draw in draws for number in draw]
    _read_back(one.reads_as, port, numbers)
    if "offline" in case.to:
        kept = world.offline[one.server].kept(start)
        if (kept.rows, kept.twice) != (len(numbers), 0):
            raise WrongAnswerError(f"{contestant} kept {kept} of {len(numbers)} rows of {case.name} offline")
    return len(numbers)


def _read_back(reader: str, port: int, numbers: list[int]) -> None:
    asked = CONTESTANTS[reader]
    for at in range(0, len(numbers), _READ_AT_ONCE):
        part = numbers[at : at + _READ_AT_ONCE]
        raw = client.encode(asked.request(SERVICE, [user_id(number) for number in part]))
        (answer,) = client.run(client.ask_all(port, [raw], 1))
        if answer.status != 200:
            raise WrongAnswerError(f"{reader} answered a read with {answer.status}: {answer.body[:500]!r}")
        found = asked.values(SERVICE, answer.body)
        wanted = [[values(number)[name] for name in VIEW.fields] for number in part]
        if found != wanted:
            raise WrongAnswerError(f"{reader} reads other values than were pushed, of users {part[0]} and following")
