"""Times, and the reference syntax."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain import FeatureRef, PushTarget, utc


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
