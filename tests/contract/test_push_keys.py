"""The ledger of idempotency keys, on SQLite and on PostgreSQL."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pytest

from app.pushing.keys import Claim, ClaimState
from app.stores.metadata import MetadataStore
from app.stores.push_keys import PushKeys

HOUR = timedelta(hours=1)
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
STALE = NOW - timedelta(seconds=10)
LATER = NOW + timedelta(seconds=11)
LATER_STALE = LATER - timedelta(seconds=10)


@pytest.fixture
def keys(metadata: MetadataStore) -> PushKeys:
    return PushKeys(metadata, "lab")


def claim(
    keys: PushKeys, now: datetime = NOW, stale: datetime = STALE, fingerprint: str = "f", stamp: int = 7
) -> Claim:
    return keys.claim("source", "key", fingerprint, stamp, now, stale)


def test_the_first_one_has_it_and_the_second_one_waits(keys: PushKeys) -> None:
    assert claim(keys) == Claim(ClaimState.MINE, 7)
    assert claim(keys).state is ClaimState.RUNNING
    assert keys.claim("other source", "key", "f", 8, NOW, STALE) == Claim(ClaimState.MINE, 8)
    assert PushKeys(keys._metadata, "other").claim("source", "key", "f", 9, NOW, STALE) == Claim(ClaimState.MINE, 9)


def test_the_answer_is_given_again_and_to_the_same_request_alone(keys: PushKeys) -> None:
    keys.finish("source", "key", claim(keys), b'{"received":1}')
    assert claim(keys, LATER, LATER_STALE) == Claim(ClaimState.ANSWERED, 7, b'{"received":1}')
    assert claim(keys, fingerprint="another").state is ClaimState.REUSED


def test_what_was_left_behind_is_taken_over_once_with_its_stamp(keys: PushKeys) -> None:
    claim(keys)
    taken = claim(keys, LATER, LATER_STALE, stamp=99)
    assert taken == Claim(ClaimState.TAKEN_OVER, 7)
    assert claim(keys, LATER, LATER_STALE).state is ClaimState.RUNNING
    keys.abandon("source", "key", taken)
    assert claim(keys, LATER, LATER_STALE) == Claim(ClaimState.TAKEN_OVER, 7)


def test_what_is_renewed_is_not_taken_over(keys: PushKeys) -> None:
    first = claim(keys)
    keys.renew([("source", "key", first)], LATER)
    assert claim(keys, LATER, LATER_STALE).state is ClaimState.RUNNING
    much_later = LATER + (LATER - NOW)
    second = claim(keys, much_later, much_later - (NOW - STALE))
    assert second == Claim(ClaimState.TAKEN_OVER, 7)
    # Who was taken over cannot hold up the next one.
    keys.renew([("source", "key", first)], much_later + HOUR)
    assert claim(keys, much_later + HOUR, much_later + HOUR).state is ClaimState.TAKEN_OVER


def test_who_was_taken_over_no_longer_has_a_say(keys: PushKeys) -> None:
    first = claim(keys)
    second = claim(keys, LATER, LATER_STALE)
    keys.finish("source", "key", first, b"too late")
    keys.release("source", "key", first)
    keys.abandon("source", "key", first)
    assert claim(keys, LATER, LATER_STALE).state is ClaimState.RUNNING
    keys.finish("source", "key", second, b"done")
    for late in (first, second):
        keys.release("source", "key", late)
        keys.abandon("source", "key", late)
    assert claim(keys, LATER, LATER_STALE) == Claim(ClaimState.ANSWERED, 7, b"done")


def test_a_released_key_is_free_for_any_request(keys: PushKeys) -> None:
    keys.release("source", "key", claim(keys))
    assert claim(keys, fingerprint="another", stamp=8) == Claim(ClaimState.MINE, 8)


def test_old_keys_are_forgotten_and_young_ones_kept(keys: PushKeys) -> None:
    keys.finish("source", "key", claim(keys), b"{}")
    assert keys.expire(NOW) == 0
    assert keys.expire(NOW + timedelta(microseconds=1)) == 1
    assert claim(keys) == Claim(ClaimState.MINE, 7)


def test_of_many_at_once_one_has_it(keys: PushKeys) -> None:
    found: list[Claim] = []
    together = threading.Barrier(8)

    def ask(stamp: int) -> None:
        together.wait()
        found.append(claim(keys, stamp=stamp))

    threads = [threading.Thread(target=ask, args=(stamp,)) for stamp in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    states = [one.state for one in found]
    assert len(found) == 8
    assert states.count(ClaimState.MINE) == 1
    assert states.count(ClaimState.RUNNING) == 7
