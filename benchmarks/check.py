"""Before anything is timed: does each contestant give back what was written, also to many at once?"""

from __future__ import annotations

from benchmarks import client
from benchmarks.cases import Case, draw, requests
from benchmarks.contestants import CONTESTANTS
from benchmarks.dataset import Dataset, Value

_REQUESTS = 400


class WrongAnswerError(Exception):
    """A contestant answered with something else than what was written; its speed would mean nothing."""


def check(case: Case, contestant: str, dataset: Dataset, port: int, connections: int, values: int = 20_000) -> int:
    """Compare about so many values, asked for over all connections at once; how many were compared.

    Raises WrongAnswerError at the first status other than 200 and at the first value that differs.
    """
    draws = draw(case, dataset)[: max(connections, min(_REQUESTS, values // case.values))]
    raw = [client.encode(one) for one in requests(case, contestant, dataset, draws)]
    answers = client.run(client.ask_all(port, raw, connections))
    # A server may say that it is too busy just now. The load counts that as a failure; here it is asked once more.
    for index, answer in enumerate(answers):
        if answer.status == 503:
            (answers[index],) = client.run(client.ask_all(port, [raw[index]], 1))
    compared = 0
    for numbers, answer in zip(draws, answers, strict=True):
        if answer.status != 200:
            raise WrongAnswerError(f"{contestant} answered {case.name} with {answer.status}: {answer.body[:500]!r}")
        found = CONTESTANTS[contestant].values(case.service, answer.body)
        wanted = dataset.expected(case.service, numbers)
        if found != wanted:
            raise WrongAnswerError(f"{contestant} answered {case.name} with {_difference(found, wanted)}")
        compared += sum(len(row) for row in found)
    return compared


def _difference(found: list[list[Value]], wanted: list[list[Value]]) -> str:
    if len(found) != len(wanted):
        return f"{len(found)} rows instead of {len(wanted)}"
    for row, (left, right) in enumerate(zip(found, wanted, strict=True)):
        for column, (one, other) in enumerate(zip(left, right, strict=True)):
            if one != other:
                return f"{one!r} instead of {other!r} in row {row}, feature {column}"
    return "something that differs in type only"
