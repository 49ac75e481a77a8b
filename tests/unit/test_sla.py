"""SLA tags."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.sla import Sla, sla_faults, sla_of

HOUR = timedelta(hours=1)


@pytest.mark.parametrize(
    ("value", "sla"),
    [
        ("daily", 26 * HOUR),
        ("hourly", timedelta(minutes=75)),
        ("realtime", timedelta(minutes=5)),
        ("15m", HOUR / 4),
        ("26h", 26 * HOUR),
        ("PT5M", timedelta(minutes=5)),
        ("90", timedelta(seconds=90)),
    ],
)
def test_what_a_view_promises(value: str, sla: timedelta) -> None:
    assert sla_of({"freshness_sla": value}) == Sla(sla, sla * 0.9)


@pytest.mark.parametrize("tags", [{}, {"team": "x"}, {"freshness_sla": "none"}])
def test_without_a_tag_nothing_is_promised(tags: dict[str, str]) -> None:
    assert sla_of(tags) == Sla()
    assert not sla_faults(tags)


def test_when_to_warn_may_be_said() -> None:
    assert sla_of({"freshness_sla": "daily", "freshness_warn": "25h"}) == Sla(26 * HOUR, 25 * HOUR)
    assert sla_of({"freshness_sla": "1h", "freshness_warn": "1h"}) == Sla(HOUR, HOUR)


@pytest.mark.parametrize(
    ("tags", "fault"),
    [
        ({"freshness_sla": "weekly"}, "'weekly' is not among daily, hourly, realtime, a duration"),
        ({"freshness_sla": "Daily"}, "'Daily' is not among"),
        ({"freshness_sla": ""}, "'' is not among"),
        ({"freshness_sla": "-5m"}, "'-5m' is not among"),
        ({"freshness_sla": "0"}, "0 is not between one second and ten years"),
        ({"freshness_sla": "99999d"}, "99999d is not between"),
        ({"freshness_sla": "1h", "freshness_warn": "2h"}, "2h is longer than the SLA itself"),
        ({"freshness_sla": "1h", "freshness_warn": "daily"}, "'daily' is not among a duration"),
        ({"freshness_warn": "1h"}, "means nothing without freshness_sla"),
        ({"freshness_sla": "none", "freshness_warn": "1h"}, "means nothing without freshness_sla"),
        ({"freshness-sla": "1h"}, "tag freshness-sla: there is no such tag"),
        ({"freshness_sal": "1h"}, "tag freshness_sal: there is no such tag"),
        ({"Freshness_SLA": "1h"}, "tag Freshness_SLA: there is no such tag"),
        ({"freshnes_sla": "1h"}, "tag freshnes_sla: there is no such tag"),
    ],
)
def test_what_means_nothing_is_said(tags: dict[str, str], fault: str) -> None:
    (found,) = sla_faults(tags)
    assert fault in found
    # What is right beside it holds.
    promised = Sla(HOUR, HOUR * 0.9, found) if tags.get("freshness_sla") == "1h" else Sla(fault=found)
    assert sla_of(tags) == promised


def test_a_tag_that_is_misspelt_takes_no_other_along() -> None:
    tags = {"freshness_sla": "1h", "freshness_warn": "50m", "freshnes_warn": "40m"}
    assert sla_of(tags) == Sla(HOUR, timedelta(minutes=50), "; ".join(sla_faults(tags)))


def test_all_faults_are_said_at_once() -> None:
    assert len(sla_faults({"freshness_sla": "soon", "freshness_warning": "1h"})) == 2


@given(st.dictionaries(st.sampled_from(["freshness_sla", "freshness_warn", "team"]), st.text(max_size=12)))
def test_whatever_the_tags_are_nothing_is_raised_and_a_fault_or_a_promise_comes_out(tags: dict[str, str]) -> None:
    found = sla_of(tags)
    assert (found.fault is not None) == bool(sla_faults(tags))
    assert (found.sla is None) == (found.warn is None)
    if found.sla is not None and found.warn is not None:
        assert timedelta(0) < found.warn <= found.sla
