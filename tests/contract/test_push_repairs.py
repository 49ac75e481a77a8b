"""The table of repair markers, on SQLite and on PostgreSQL."""

from __future__ import annotations

import dataclasses
import threading
from datetime import UTC, datetime, timedelta

import pytest

from app.pushing.ports import RepairMarker
from app.stores.metadata import MetadataStore
from app.stores.push_repairs import PushRepairs

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
SINCE = datetime(1850, 3, 1, 4, 5, 6, 7, tzinfo=UTC)
LATER = NOW + timedelta(seconds=3)


def of(metadata: MetadataStore, server: str, project: str = "lab") -> PushRepairs:
    return PushRepairs(metadata, project, server)


def test_others_see_what_a_server_keeps_and_it_sees_not_its_own(metadata: MetadataStore) -> None:
    a, b = of(metadata, "a"), of(metadata, "b")
    a.save("events", SINCE, False, NOW)
    a.save("others", NOW, True, NOW)
    assert a.others() == []
    assert sorted(b.others(), key=lambda marker: marker.push_source) == [
        RepairMarker("a", "events", SINCE, False, NOW),
        RepairMarker("a", "others", NOW, True, NOW),
    ]
    assert of(metadata, "b", "another project").others() == []
    a.save("events", NOW, True, LATER)
    a.remove("others")
    assert b.others() == [RepairMarker("a", "events", NOW, True, LATER)]


def test_one_beat_is_for_all_markers_of_a_server_and_says_which_there_are(metadata: MetadataStore) -> None:
    a, b = of(metadata, "a"), of(metadata, "b")
    assert a.beat(NOW) == set()
    a.save("events", SINCE, False, NOW)
    a.save("others", SINCE, False, NOW)
    of(metadata, "a", "another project").save("events", SINCE, False, NOW)
    b.save("events", SINCE, False, NOW)
    assert a.beat(LATER) == {"events", "others"}
    assert [marker.heartbeat for marker in b.others()] == [LATER, LATER]
    assert [marker.heartbeat for marker in a.others()] == [NOW]
    assert [marker.heartbeat for marker in of(metadata, "b", "another project").others()] == [NOW]


def test_a_marker_may_be_left_to_others(metadata: MetadataStore) -> None:
    a, b = of(metadata, "a"), of(metadata, "b")
    a.save("events", SINCE, False, NOW)
    a.leave("events")
    (left,) = b.others()
    assert left == RepairMarker("a", "events", SINCE, True, None)
    assert b.take_over(left, SINCE, LATER)
    assert (a.others(), b.others()) == ([RepairMarker("b", "events", SINCE, True, LATER)], [])


def test_a_takeover_reaches_as_far_back_as_both_markers(metadata: MetadataStore) -> None:
    a, b = of(metadata, "a"), of(metadata, "b")
    a.save("events", NOW, False, NOW)
    b.save("events", LATER, False, NOW)
    (theirs,) = b.others()
    assert b.take_over(theirs, SINCE, LATER)
    assert a.others() == [RepairMarker("b", "events", SINCE, True, LATER)]


@pytest.mark.parametrize("what", ["beats", "lowers", "is gone"])
def test_a_marker_that_has_changed_cannot_be_had(metadata: MetadataStore, what: str) -> None:
    a, b = of(metadata, "a"), of(metadata, "b")
    a.save("events", NOW, False, NOW)
    (theirs,) = b.others()
    if what == "beats":
        a.beat(LATER)
    elif what == "lowers":
        a.save("events", SINCE, False, NOW)
    else:
        a.remove("events")
    assert not b.take_over(theirs, NOW, LATER)
    assert a.others() == []
    assert b.take_over(dataclasses.replace(theirs, server="nobody"), NOW, LATER) is False


def test_of_many_at_once_one_takes_over(metadata: MetadataStore) -> None:
    of(metadata, "dead").save("events", SINCE, False, NOW)
    (theirs,) = of(metadata, "b").others()
    taken: list[bool] = []
    together = threading.Barrier(8)

    def take(number: int) -> None:
        together.wait()
        taken.append(of(metadata, f"server {number}").take_over(theirs, SINCE, LATER))

    threads = [threading.Thread(target=take, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(taken), taken.count(True)) == (8, 1)
    assert len(of(metadata, "nobody").others()) == 1
