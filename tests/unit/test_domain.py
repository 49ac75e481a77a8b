"""Rule 1 and the reference syntax."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain import FeatureRef, PushTarget, holds, utc

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
TICK = timedelta(microseconds=1)
HOUR = timedelta(hours=1)


def test_a_value_holds_from_its_time_to_its_ttl_both_included() -> None:
    assert holds(NOW, NOW, HOUR)
    assert holds(NOW - HOUR, NOW, HOUR)
    assert not holds(NOW - HOUR - TICK, NOW, HOUR)
    assert not holds(NOW + TICK, NOW, HOUR)
    assert holds(NOW - timedelta(days=10_000), NOW, None)


def test_naive_times_are_utc() -> None:
    assert utc(datetime(2026, 1, 1)) == datetime(2026, 1, 1, tzinfo=UTC)  # noqa: DTZ001


@pytest.mark.parametrize(
    "text",
    [
        "",
        "view",
        "view:",
        ":feature",
        "view@:f",
        "view@2:f",
        "view@vx:f",
        "@v1:f",
        "a@b@v1:f",
        "a@v²:f",
        "a@v9999999999:f",
    ],
)
def test_what_is_no_reference_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="view:feature"):
        FeatureRef.parse(text)


@given(
    st.text("abc_9", min_size=1), st.text("abc_9", min_size=1), st.none() | st.integers(min_value=0, max_value=10**6)
)
def test_references_survive_a_round_trip(view: str, feature: str, version: int | None) -> None:
    reference = FeatureRef(view, feature, version)
    assert FeatureRef.parse(str(reference)) == reference


@pytest.mark.parametrize(("text", "same"), [("a@latest:f", "a:f"), ("a@Latest:f", "a:f"), ("a@V02:f", "a@v2:f")])
def test_feasts_other_spellings_of_a_reference(text: str, same: str) -> None:
    assert str(FeatureRef.parse(text)) == same


def test_push_targets_say_which_stores_they_mean() -> None:
    assert [(target.online, target.offline) for target in PushTarget] == [(True, False), (False, True), (True, True)]
