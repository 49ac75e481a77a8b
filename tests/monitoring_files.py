"""The files of monitoring/, read as Prometheus and Grafana read them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import promql_parser
import yaml

from app.settings import PROJECT_ROOT

MONITORING = PROJECT_ROOT / "monitoring"
RULE_TESTS = sorted((MONITORING / "tests").glob("*.yml"))
_VALUES_OF = re.compile(r"label_values\((?P<selector>.+), (?P<label>\w+)\)")


def rules(file: str) -> list[dict[str, Any]]:
    """The rules of one file in monitoring/rules, of all its groups."""
    document = yaml.safe_load((MONITORING / "rules" / file).read_text(encoding="utf-8"))
    return [rule for group in document["groups"] for rule in group["rules"]]


def rule_tests() -> list[dict[str, Any]]:
    """Every test that promtool runs."""
    return [test for file in RULE_TESTS for test in yaml.safe_load(file.read_text(encoding="utf-8"))["tests"]]


def dashboards() -> dict[str, dict[str, Any]]:
    """The dashboards as Grafana gets them, by the names of their files."""
    folder = MONITORING / "grafana" / "dashboards"
    return {file.name: json.loads(file.read_text(encoding="utf-8")) for file in sorted(folder.glob("*.json"))}


def panels(dashboard: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The panels that show something: all but the headings."""
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


@dataclass(frozen=True)
class PanelQuery:
    """One query of a panel."""

    dashboard: str
    panel: str
    ref: str
    expr: str
    """As it is in the file, with variables."""

    @property
    def name(self) -> str:
        """As a person looks for it."""
        return f"{self.dashboard} / {self.panel} / {self.ref}"

    def with_variables(self, values: Mapping[str, str]) -> str:
        """As Grafana sends it; a variable without a value is an error."""
        return with_variables(self.expr, values)


def with_variables(text: str, values: Mapping[str, str]) -> str:
    """A text with each $variable replaced."""
    return re.sub(r"\$(\w+)", lambda found: values[found[1]], text)


def panel_queries() -> list[PanelQuery]:
    """Every query of every panel of every dashboard."""
    return [
        PanelQuery(file, panel["title"], target["refId"], target["expr"])
        for file, dashboard in dashboards().items()
        for panel in panels(dashboard)
        for target in panel["targets"]
    ]


def variable_queries() -> dict[str, tuple[str, str]]:
    """The queries of variables, `dashboard / variable` -> selector and label, of label_values(selector, label)."""
    found = {}
    for file, dashboard in dashboards().items():
        for variable in dashboard["templating"]["list"]:
            if variable["type"] == "query":
                match = _VALUES_OF.fullmatch(variable["query"]["query"])
                assert match, variable
                found[f"{file} / {variable['name']}"] = match["selector"], match["label"]
    return found


def selectors(expr: str) -> Iterator[tuple[str, set[str]]]:
    """The series that PromQL asks for: their names, and the labels by which it chooses. Raises ValueError where it is
    no PromQL."""
    found: list[Any] = []

    def visit(node: Any) -> bool:
        if isinstance(node, promql_parser.VectorSelector):
            found.append(node)
        return True

    promql_parser.walk(promql_parser.parse(expr), visit)
    for selector in found:
        matchers = [(matcher.name, matcher.value) for matcher in selector.matchers.matchers]
        labels = {name for name, _ in matchers} - {"__name__"}
        for name in [selector.name] if selector.name else [value for name, value in matchers if name == "__name__"]:
            yield name, labels


def runbook() -> set[str]:
    """The anchors of the runbook's sections."""
    text = Path(PROJECT_ROOT / "docs/runbook.md").read_text(encoding="utf-8")
    return {heading.lower().replace(" ", "-") for heading in re.findall(r"^## (.+)$", text, re.M)}
