"""A process that appends to an offline store until it is killed: python -m tests.faults.offline_writer REPO FIRST ...

It appends rows of sensors FIRST, FIRST + 1, ... in groups of one to five, and says `acknowledged N` for each that is
durable, on its standard output. With `compact` it merges after every few groups, with `only-compact` all the time. With
`limited` its files may not grow beyond a few bytes, and it says what it is told.
"""

from __future__ import annotations

import random
import resource
import sys
from pathlib import Path

from app.errors import StoreUnavailableError
from app.stores import offline_compaction
from tests.contract.offline import opened, sensors


def main() -> None:
    folder, first, rows, mode = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    # Merges that come often, so that many are in the middle when the end comes.
    offline_compaction.MOST_PARTS = 5
    number, end = first, first + rows
    with opened("unknown", folder) as case:
        print("ready", flush=True)
        if mode == "limited":
            resource.setrlimit(resource.RLIMIT_FSIZE, (500, resource.RLIM_INFINITY))
            try:
                case.store.append_batch([case.view], sensors(first))
            except StoreUnavailableError as error:
                print(error.detail, flush=True)
            return
        while number < end:
            if mode == "only-compact":
                case.store.compact([case.view])
                continue
            group = range(number, min(end, number + random.randint(1, 5)))
            case.store.append_batch([case.view], sensors(*group))
            print("".join(f"acknowledged {one}\n" for one in group), end="", flush=True)
            number = group.stop
            if mode == "compact" and random.random() < 0.5:
                case.store.compact([case.view])


main()
