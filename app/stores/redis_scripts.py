"""The script of the compare-and-set in Redis: how it is given its rows, and how it gets there."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import redis
from feast.infra.online_stores.helpers import _mmh3

from app.stores.redis_marks import KEEP_MARK

_SCRIPT = KEEP_MARK + (Path(__file__).parent / "compare.lua").read_text(encoding="utf-8")
_SCRIPT_SHA = hashlib.sha1(_SCRIPT.encode(), usedforsecurity=False).hexdigest()

Run = tuple[Sequence[bytes], Sequence[bytes | int | str]]
"""The keys and the arguments of one script, as compare.lua wants them."""


def evaluate(client: Any, runs: Sequence[Run]) -> list[list[int]]:
    """Run the script, for each of these keys and arguments, where the keys are: all are sent before a reply is awaited.

    redis-py's own would load the script into every master first, hung ones included.
    """
    if len(runs) == 1:
        ((keys, arguments),) = runs
        try:
            return [client.evalsha(_SCRIPT_SHA, len(keys), *keys, *arguments)]
        except redis.exceptions.NoScriptError:
            return [client.eval(_SCRIPT, len(keys), *keys, *arguments)]
    with client.pipeline(transaction=False) as pipe:
        for keys, arguments in runs:
            pipe.evalsha(_SCRIPT_SHA, len(keys), *keys, *arguments)
        replies = pipe.execute(raise_on_error=False)
    for place, (keys, arguments) in enumerate(runs):
        if isinstance(replies[place], redis.exceptions.NoScriptError):
            replies[place] = client.eval(_SCRIPT, len(keys), *keys, *arguments)
        elif isinstance(replies[place], Exception):
            raise replies[place]
    return replies


@functools.lru_cache(maxsize=1000)
def feature_names(view: str, features: tuple[str, ...]) -> tuple[bytes, ...]:
    """The hash fields of a view's features, by its stored name."""
    return tuple(_mmh3(f"{view}:{name}") for name in features)
