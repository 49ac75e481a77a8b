"""Leases and snapshots, on SQLite and on PostgreSQL."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta

import pytest

from app.stores.leases import StoredLeases
from app.stores.metadata import MetadataStore
from app.stores.snapshots import StoredSnapshots

HOUR = timedelta(hours=1)
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


@pytest.fixture
def leases(metadata: MetadataStore) -> StoredLeases:
    return StoredLeases(metadata, "lab")


def test_one_has_it_and_may_renew_it(leases: StoredLeases, metadata: MetadataStore) -> None:
    assert leases.take("probe", "a", HOUR)
    assert not leases.take("probe", "b", HOUR)
    assert leases.take("probe", "a", HOUR)
    assert leases.take("another", "b", HOUR)
    assert StoredLeases(metadata, "other project").take("probe", "b", HOUR)


def test_what_is_given_back_may_be_taken_at_once_but_not_by_a_stranger(leases: StoredLeases) -> None:
    assert leases.take("probe", "a", HOUR)
    leases.give_back("probe", "b")
    assert not leases.take("probe", "b", HOUR)
    leases.give_back("probe", "a")
    assert leases.take("probe", "b", HOUR)
    assert not leases.take("probe", "a", HOUR)


def test_it_ends_with_its_term(leases: StoredLeases) -> None:
    assert leases.take("probe", "a", timedelta(milliseconds=50))
    deadline = time.monotonic() + 5
    while not leases.take("probe", "b", HOUR):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert not leases.take("probe", "a", HOUR)


def test_a_higher_rank_takes_it_from_a_lower_one_and_keeps_it(leases: StoredLeases) -> None:
    assert leases.take("probe", "server", HOUR)
    assert leases.take("probe", "worker", HOUR, rank=1)
    assert not leases.take("probe", "server", HOUR)
    assert not leases.take("probe", "another worker", HOUR, rank=1)


def test_of_many_at_once_one_gets_it(metadata: MetadataStore) -> None:
    barrier, got = threading.Barrier(8), []

    def take(number: int) -> None:
        barrier.wait()
        if StoredLeases(metadata, "lab").take("probe", str(number), HOUR):
            got.append(number)

    threads = [threading.Thread(target=take, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 1


def test_the_last_snapshot_is_kept(metadata: MetadataStore) -> None:
    snapshots = StoredSnapshots(metadata, "lab")
    assert snapshots.latest("freshness") is None
    snapshots.publish("freshness", {"views": [1]}, NOW)
    snapshots.publish("freshness", {"views": [1, 2.5, None, "ü"]}, NOW + HOUR)
    assert snapshots.latest("freshness") == (NOW + HOUR, {"views": [1, 2.5, None, "ü"]})
    assert snapshots.latest("skew") is None
    assert StoredSnapshots(metadata, "other").latest("freshness") is None


def test_an_older_snapshot_never_replaces_a_newer_one(metadata: MetadataStore) -> None:
    snapshots = StoredSnapshots(metadata, "lab")
    snapshots.publish("freshness", {"who": "new holder"}, NOW)
    snapshots.publish("freshness", {"who": "old holder"}, NOW - timedelta(microseconds=1))
    assert snapshots.latest("freshness") == (NOW, {"who": "new holder"})


def test_a_snapshot_of_the_future_is_replaced(metadata: MetadataStore) -> None:
    snapshots, now = StoredSnapshots(metadata, "lab"), datetime.now(UTC)
    snapshots.publish("freshness", {"who": "clock ahead"}, now + HOUR)
    snapshots.publish("freshness", {"who": "clock right"}, now)
    assert snapshots.latest("freshness") == (now, {"who": "clock right"})
