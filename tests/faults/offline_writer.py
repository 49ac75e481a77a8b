"""Processes that append to an offline store: python -m tests.faults.offline_writer REPO FIRST ROWS MODE

One appends the rows of ROWS sensors from FIRST on, in groups of one to five, and says `acknowledged N` on its standard
output for each that is durable. With the mode `append` that is all; `compact` merges after every few groups,
`only-compact` does nothing else, and `limited` may not let its files grow, and says what it is told.

With the mode `killed` a process like `compact` is started for each line on the standard input, killed at a random
moment after it has begun, and `killed` is said.
"""

from __future__ import annotations

import os
import random
import resource
import signal
import sys
import time
from pathlib import Path

from app.errors import StoreUnavailableError
from app.stores import offline_compaction
from tests.contract.offline import opened, sensors

_LONGEST_LIFE = 0.8


def say(text: str) -> None:
    """In one piece, whoever is killed meanwhile."""
    os.write(1, text.encode())


def work(folder: Path, first: int, rows: int, mode: str) -> None:
    """Append and merge until done."""
    number, end = first, first + rows
    with opened("unknown", folder) as case:
        say("ready\n")
        if mode == "limited":
            resource.setrlimit(resource.RLIMIT_FSIZE, (500, resource.RLIM_INFINITY))
            try:
                case.store.append_batch([case.view], sensors(first))
            except StoreUnavailableError as error:
                say(f"{error.detail}\n")
            return
        while number < end:
            if mode == "only-compact":
                case.store.compact([case.view])
                continue
            group = range(number, min(end, number + random.randint(1, 5)))
            case.store.append_batch([case.view], sensors(*group))
            say("".join(f"acknowledged {one}\n" for one in group))
            number = group.stop
            if mode == "compact" and random.random() < 0.5:
                case.store.compact([case.view])


def kill_again_and_again(folder: Path, rows: int) -> None:
    """Fork, as starting Python and importing Feast would take most of the time."""
    for number, _ in enumerate(sys.stdin):
        child = os.fork()
        if child == 0:
            work(folder, number * rows, rows, "compact")
            os._exit(0)
        time.sleep(random.uniform(0.2, 0.2 + _LONGEST_LIFE))  # opening the repo takes the beginning
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        say("\nkilled\n")  # on a line of its own, were one cut off before it


if __name__ == "__main__":
    # Merges that come often, so that many are in the middle when the end comes.
    offline_compaction.MOST_PARTS = 5
    repo, begin, count, what = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    if what == "killed":
        say("ready\n")
        kill_again_and_again(repo, count)
    else:
        work(repo, begin, count, what)
