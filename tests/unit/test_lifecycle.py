"""Lifecycle tags: what they say, and what is wrong with them."""

from datetime import UTC, datetime

import pytest

from app.lifecycle import Lifecycle, Stage, lifecycle_faults, lifecycle_of


def test_no_tags_mean_an_active_view_of_no_version() -> None:
    assert lifecycle_of({}) == Lifecycle(Stage.ACTIVE)
    assert lifecycle_faults({}) == []


def test_all_tags_of_a_deprecated_view() -> None:
    tags = {
        "version": "1",
        "lifecycle": "deprecated",
        "deprecated_since": "2026-11-01",
        "sunset": "2027-02-01",
        "superseded_by": "user_realtime_v2",
    }
    assert lifecycle_of(tags) == Lifecycle(
        Stage.DEPRECATED, 1, datetime(2026, 11, 1, tzinfo=UTC), datetime(2027, 2, 1, tzinfo=UTC), "user_realtime_v2"
    )
    assert lifecycle_faults(tags) == []


@pytest.mark.parametrize("version", ["", "0", "-1", "2.1", "v2", "²", "1234567890"])
def test_a_version_that_is_no_number_is_somebody_elses(version: str) -> None:
    assert lifecycle_of({"version": version}).version is None
    assert lifecycle_faults({"version": version}) == []


@pytest.mark.parametrize(
    ("tags", "fault"),
    [
        ({"lifecycle": "depreciated"}, "tag lifecycle: 'depreciated' is not among active, deprecated, retired"),
        ({"lifecycle": "deprecated", "sunset": "soon"}, "tag sunset: 'soon' is not a day such as 2027-02-01"),
        ({"lifecycle": "deprecated", "deprecated_since": "2026-13-01"}, "tag deprecated_since: '2026-13-01' is not"),
        (
            {"lifecycle": "deprecated", "deprecated_since": "2027-02-02", "sunset": "2027-02-01"},
            "tag sunset: 2027-02-01 is before deprecated_since",
        ),
        ({"sunset": "2027-02-01"}, "tag sunset: means nothing without lifecycle deprecated or retired"),
        ({"lifecycle": "active", "superseded_by": "b"}, "tag superseded_by: means nothing without lifecycle"),
    ],
)
def test_tags_that_mean_nothing_are_named(tags: dict[str, str], fault: str) -> None:
    (found,) = lifecycle_faults(tags)
    assert found.startswith(fault)


def test_what_is_right_beside_a_broken_tag_holds() -> None:
    found = lifecycle_of({"lifecycle": "deprecated", "sunset": "soon", "superseded_by": "b"})
    assert found == Lifecycle(Stage.DEPRECATED, superseded_by="b")
