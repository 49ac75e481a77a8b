"""The Grafana dashboards: what the code makes, and what a Grafana can show. None can be had here to load them."""

from __future__ import annotations

import itertools
import re
from typing import Any

import pytest

from monitoring.dashboards import boards
from monitoring.dashboards.files import FOLDER, as_text
from tests.monitoring_files import dashboards, panels

NAMES = sorted(dashboards())
_SOURCE = {"type": "prometheus", "uid": "${datasource}"}
_COLUMNS = 24


def test_the_files_are_what_the_code_makes() -> None:
    made = {name: as_text(dashboard) for name, dashboard in boards().items()}

    assert made == {file.name: file.read_text(encoding="utf-8") for file in FOLDER.iterdir()}, (
        "python -m monitoring.dashboards writes them"
    )


def test_each_has_an_address_of_its_own_and_leads_to_the_others() -> None:
    found = dashboards().values()

    assert (
        len({dashboard["uid"] for dashboard in found}) == len({dashboard["title"] for dashboard in found}) == len(NAMES)
    )
    for dashboard in found:
        assert dashboard["tags"] == ["freshet"]
        (link,) = dashboard["links"]
        assert (link["type"], link["tags"], link["keepTime"], link["includeVars"]) == (
            "dashboards",
            ["freshet"],
            True,
            True,
        )


def test_a_view_in_the_overview_leads_to_its_own_dashboard() -> None:
    (table,) = [panel for panel in panels(dashboards()["overview.json"]) if panel["type"] == "table"]
    (link,) = [
        link
        for override in table["fieldConfig"]["overrides"]
        for given in override["properties"]
        if given["id"] == "links"
        for link in given["value"]
    ]
    target = dashboards()["feature-view.json"]

    assert link["url"].startswith(f"/d/{target['uid']}?")
    wanted = {variable["name"] for variable in target["templating"]["list"]} - {"datasource"}
    assert set(re.findall(r"var-(\w+)=", link["url"])) == wanted


@pytest.mark.parametrize("name", NAMES)
def test_variables_come_from_the_chosen_data_source(name: str) -> None:
    source, *others = dashboards()[name]["templating"]["list"]

    assert (source["type"], source["name"], source["query"]) == ("datasource", "datasource", "prometheus")
    for variable in others:
        assert (variable["type"], variable["datasource"]) == ("query", _SOURCE)
        assert variable["refresh"] == 2, "when the time range changes"


@pytest.mark.parametrize("name", NAMES)
def test_every_panel_can_be_shown(name: str) -> None:
    dashboard = dashboards()[name]
    variables = {variable["name"] for variable in dashboard["templating"]["list"]}

    for panel in panels(dashboard):
        assert panel["title"], panel
        assert panel["description"], panel["title"]
        assert panel["datasource"] == _SOURCE, panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert panel["targets"], panel["title"]
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"]), panel["title"]
        for target in panel["targets"]:
            assert target["expr"].strip(), panel["title"]
            assert target["datasource"] == _SOURCE, panel["title"]
            used = set(re.findall(r"\$(\w+)", target["expr"])) - {"__rate_interval"}
            assert used <= variables, panel["title"]
            # Panels of one project show nothing of another.
            assert "project" in used or "freshet:" not in target["expr"], panel["title"]


def cells(panel: dict[str, Any]) -> set[tuple[int, int]]:
    """The cells of the grid that a panel covers."""
    place = panel["gridPos"]
    columns = range(place["x"], place["x"] + place["w"])
    return set(itertools.product(columns, range(place["y"], place["y"] + place["h"])))


@pytest.mark.parametrize("name", NAMES)
def test_panels_lie_beside_each_other_and_leave_no_gap(name: str) -> None:
    all_of_them = dashboards()[name]["panels"]
    covered = [cells(panel) for panel in all_of_them]
    together = set().union(*covered)

    assert sorted(panel["id"] for panel in all_of_them) == list(range(1, len(all_of_them) + 1))
    assert sum(map(len, covered)) == len(together), "panels overlap"
    height = max(row for _, row in together) + 1
    assert together == set(itertools.product(range(_COLUMNS), range(height)))


@pytest.mark.parametrize("name", NAMES)
def test_limits_are_drawn_for_series_that_there_are(name: str) -> None:
    for panel in panels(dashboards()[name]):
        if panel["type"] != "timeseries":
            continue
        drawn = {override["matcher"]["options"] for override in panel["fieldConfig"]["overrides"]}
        assert drawn <= {target["legendFormat"] for target in panel["targets"]}, panel["title"]


def test_columns_of_the_table_are_those_of_its_queries() -> None:
    (table,) = [panel for panel in panels(dashboards()["overview.json"]) if panel["type"] == "table"]
    organized = next(step["options"] for step in table["transformations"] if step["id"] == "organize")
    renamed = organized["renameByName"]

    values = {f"Value #{target['refId']}" for target in table["targets"]}
    assert values == {name for name in {**renamed, **organized["excludeByName"]} if name.startswith("Value")}
    looks = {override["matcher"]["options"] for override in table["fieldConfig"]["overrides"]}
    assert looks <= set(renamed.values())
    assert {sort["displayName"] for sort in table["options"]["sortBy"]} <= set(renamed.values())
