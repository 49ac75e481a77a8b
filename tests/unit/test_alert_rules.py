"""The alert rules as files: complete, tested, explained, and about what exists. promtool runs them elsewhere."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.monitoring_files import (
    panel_queries,
    rule_tests,
    rules,
    runbook,
    selectors,
    variable_queries,
    with_variables,
)
from tests.unit.test_documented import exported

ALERTS = rules("alerts.yml")
RECORDED = rules("recording.yml")
NAMES = sorted({rule["alert"] for rule in ALERTS})

_OF_PROMETHEUS = {"up": {"job", "instance"}}
_OF_TARGETS = {"job", "instance"}
_ALWAYS = {"FreshetWatchdog"}
"""Alerts that are never silent."""


def test_every_rule_is_promql() -> None:
    for rule in [*ALERTS, *RECORDED]:
        assert list(selectors(rule["expr"])) or "vector(1)" in rule["expr"], rule


def examined(alert: str) -> list[dict[str, Any]]:
    """Where promtool looks at this alert and its annotations."""
    return [look for test in rule_tests() for look in test.get("alert_rule_test", []) if look["alertname"] == alert]


@pytest.mark.parametrize("alert", NAMES)
def test_every_alert_is_seen_to_fire_and_to_be_silent(alert: str) -> None:
    looks = examined(alert)

    assert any(look["exp_alerts"] for look in looks)
    assert any(not look["exp_alerts"] for look in looks) != (alert in _ALWAYS)


@pytest.mark.parametrize("alert", NAMES)
def test_every_alert_leads_to_its_section_of_the_runbook(alert: str) -> None:
    expected = [fired for look in examined(alert) for fired in look["exp_alerts"]]

    assert {fired["exp_annotations"]["runbook_url"] for fired in expected} == {f"docs/runbook.md#{alert.lower()}"}
    assert alert.lower() in runbook()


@pytest.mark.parametrize("alert", NAMES)
def test_an_alert_of_a_view_says_whose_it_is(alert: str) -> None:
    labels = [fired["exp_labels"].keys() for look in examined(alert) for fired in look["exp_alerts"]]
    of_view = [names for names in labels if "feature_view" in names]

    assert all({"severity", "project", "owner", "team"} <= names for names in of_view)
    assert bool(of_view) == ("$labels.feature_view" in str([rule for rule in ALERTS if rule["alert"] == alert]))


def test_every_alert_says_how_urgent_it_is_and_what_is_wrong() -> None:
    for rule in ALERTS:
        assert rule["labels"]["severity"] in {"critical", "warning", "none"}, rule
        assert rule["annotations"].keys() == {"summary", "description", "runbook_url"}, rule


def test_ages_of_entities_and_age_gauges_are_not_alerted_on() -> None:
    asked = {name for rule in [*ALERTS, *RECORDED] for name, _ in selectors(rule["expr"])}

    assert not asked & {"freshet_feature_view_entity_age_seconds", "freshet_feature_view_staleness_seconds"}


VARIABLES = {"project": "shop", "feature_view": "clicks", "route": ".*", "push_source": ".*", "__rate_interval": "1m"}
QUERIES = {
    **{
        f"{rule.get('alert', rule.get('record'))} {number}": rule["expr"]
        for number, rule in enumerate(ALERTS + RECORDED)
    },
    **{query.name: query.with_variables(VARIABLES) for query in panel_queries()},
    **{name: with_variables(selector, VARIABLES) for name, (selector, _) in variable_queries().items()},
}


def known() -> dict[str, set[str]]:
    """The series that there are, with their labels: exported by the app, recorded, or Prometheus' own."""
    found = dict(_OF_PROMETHEUS)
    for name, metric in exported().items():
        labels = {*metric.labels, *_OF_TARGETS}
        if metric.type == "histogram":
            found |= {f"{name}_bucket": labels | {"le"}, f"{name}_sum": labels, f"{name}_count": labels}
        else:
            found[name] = labels
    of_view = {"project", "feature_view", "owner", "team", "status"}
    return found | {rule["record"]: of_view | {"kind", "state", "base"} for rule in RECORDED}


@pytest.mark.parametrize("name", QUERIES)
def test_only_metrics_that_are_exported_are_asked_for(name: str) -> None:
    series = known()

    for asked, labels in selectors(QUERIES[name]):
        matching = [labels_of for known_name, labels_of in series.items() if re.fullmatch(asked, known_name)]
        assert matching, asked
        assert all(labels <= labels_of for labels_of in matching), (asked, labels)


def test_every_recorded_series_is_used() -> None:
    used = {name for expr in QUERIES.values() for name, _ in selectors(expr)}
    used |= set(re.findall(r"freshet:\w+:\w+", str([rule["annotations"] for rule in ALERTS])))

    assert {rule["record"] for rule in RECORDED} - used == set()
