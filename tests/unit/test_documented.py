"""The documentation names what exists, and everything that exists: settings, metrics, problems, endpoints, links."""

import re
from datetime import timedelta
from http import HTTPStatus
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from prometheus_client import Counter, Histogram
from pydantic import TypeAdapter

from app import errors, metrics
from app.errors import FreshetError
from app.main import create_app
from app.settings import PROJECT_ROOT, Settings
from app.snapshot_metrics import SnapshotGauge, SnapshotHistogram

_ADDED_BY_FASTAPI = {"method-not-allowed": HTTPStatus.METHOD_NOT_ALLOWED}
"""Problems of app.api.problems that no class stands for."""

_FOREIGN = {"FRESHET_TEST_POSTGRES_URL", "FRESHET_TEST_REDIS_URL"}
"""Variables of the tests; those of the yaml and compose files are read from there."""

_HIDDEN = re.compile(r"(^|/)(\.|node_modules/|build/|dist/)")
_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")


def pages() -> list[Path]:
    """Every markdown file of the project."""
    files = sorted(PROJECT_ROOT.rglob("*.md"))
    return [file for file in files if not _HIDDEN.search(str(file.relative_to(PROJECT_ROOT)))]


def rows(page: str, first: str) -> dict[str, list[str]]:
    """The rows, by their first cell, of the tables of a page whose first column is called `first`. Cells in backticks
    lose them, and a row that is there twice is a fault."""
    found: dict[str, list[str]] = {}
    inside = False
    for line in (PROJECT_ROOT / "docs" / page).read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if not line.startswith("|"):
            inside = False
        elif cells[0] == first:
            inside = True
        elif inside and not set(cells[0]) <= {"-"}:
            name = cells[0].strip("`")
            assert name not in found, f"{name} is in {page} twice"
            found[name] = [re.sub(r"^`([^`]*)`$", r"\1", cell) for cell in cells[1:]]
    return found


def shown(default: Any) -> str:
    """A setting's default as docs/configuration.md writes it."""
    if default is None:
        return "unset"
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, timedelta):
        return str(TypeAdapter(timedelta).dump_python(default, mode="json"))
    if isinstance(default, Path):
        return str(default.relative_to(PROJECT_ROOT))
    return str(default)


SETTINGS = {f"FRESHET_{name.upper()}": field for name, field in Settings.model_fields.items()}


def test_every_setting_is_documented_with_its_default() -> None:
    documented = {name: cells[1] for name, cells in rows("configuration.md", "name").items() if name in SETTINGS}

    assert documented == {name: shown(field.default) for name, field in SETTINGS.items()}


def test_every_setting_has_a_docstring() -> None:
    assert [name for name, field in SETTINGS.items() if not field.description] == []


def interpolated(file: str) -> set[str]:
    """The variables of Freshet that a yaml file takes from the environment."""
    return set(re.findall(r"\$\{(FRESHET_\w+)", (PROJECT_ROOT / file).read_text(encoding="utf-8")))


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(PROJECT_ROOT)))
def test_only_settings_that_exist_are_named(page: Path) -> None:
    known = {*SETTINGS, *_FOREIGN}
    known |= interpolated("docker-compose.yml") | interpolated("feature_definitions/feature_store.production.yaml")

    assert set(re.findall(r"FRESHET_[A-Z_]*[A-Z]", page.read_text(encoding="utf-8"))) - known == set()


def test_every_variable_of_the_production_profile_is_documented() -> None:
    file = PROJECT_ROOT / "feature_definitions/feature_store.production.yaml"
    used = set(re.findall(r"\$\{([A-Z_]+)\}", re.sub(r"#.*", "", file.read_text(encoding="utf-8"))))

    assert used
    assert used - rows("configuration.md", "name").keys() == set()


class Metric(NamedTuple):
    """A metric as Prometheus sees it."""

    type: str
    labels: tuple[str, ...]


def exported() -> dict[str, Metric]:
    """The metrics of app.metrics by the name that a query uses."""
    found = {}
    for value in vars(metrics).values():
        if isinstance(value, Counter | Histogram | SnapshotGauge | SnapshotHistogram):
            (family,) = value.describe()
            name = f"{family.name}_total" if family.type == "counter" else family.name
            labels = value.labels if isinstance(value, SnapshotGauge | SnapshotHistogram) else tuple(value._labelnames)
            found[name] = Metric(family.type, labels)
    return found


def test_every_metric_is_documented_with_type_and_labels() -> None:
    documented = {
        name: Metric(cells[0], tuple(re.findall(r"\w+", cells[1]))) for name, cells in rows("api.md", "metric").items()
    }

    assert documented == exported()


def test_every_gauge_is_shown() -> None:
    gauges = {value for value in vars(metrics).values() if isinstance(value, SnapshotGauge | SnapshotHistogram)}

    assert set(metrics.SNAPSHOT_METRICS) == gauges
    assert len(metrics.SNAPSHOT_METRICS) == len(gauges)


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(PROJECT_ROOT)))
def test_only_metrics_that_exist_are_named(page: Path) -> None:
    series = {f"{name}{suffix}" for name in exported() for suffix in ("", "_bucket", "_sum", "_count")}

    assert set(re.findall(r"\bfreshet_[a-z_]*[a-z]", page.read_text(encoding="utf-8"))) - series == set()


def error_classes() -> list[type[FreshetError]]:
    """Every error class of app.errors, the base included."""
    return [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, FreshetError)]


def test_every_problem_is_documented_with_title_and_status() -> None:
    documented = {slug: (cells[0], int(cells[1])) for slug, cells in rows("api.md", "slug").items()}
    classes = {error.slug: (error.title, error.status) for error in error_classes()}

    assert {slug: documented.get(slug) for slug in classes} == classes
    assert {slug: cells[1] for slug, cells in documented.items() if slug not in classes} == _ADDED_BY_FASTAPI


def test_every_endpoint_has_a_heading_of_its_own() -> None:
    headings = re.findall(r"^### ([A-Z]+ /\S*)$", (PROJECT_ROOT / "docs/api.md").read_text(encoding="utf-8"), re.M)
    paths = create_app(Settings()).openapi()["paths"]

    assert sorted(headings) == sorted(
        f"{method.upper()} {path}" for path, methods in paths.items() for method in methods
    )


def links() -> list[tuple[Path, str]]:
    """Every link of every page that leads to a file, code left out."""
    found = []
    for page in pages():
        prose = re.sub(r"```.*?```|`[^`\n]*`", "", page.read_text(encoding="utf-8"), flags=re.S)
        targets = [target.partition("#")[0] for target in _LINK.findall(prose)]
        found += [(page, target) for target in targets if target and "://" not in target]
    return found


def test_every_relative_link_leads_to_a_file() -> None:
    found = links()

    assert len(found) > 50
    broken = [f"{page.relative_to(PROJECT_ROOT)}: {to}" for page, to in found if not (page.parent / to).exists()]
    assert broken == []


def test_every_decision_is_in_the_list() -> None:
    decisions = {file.name for file in (PROJECT_ROOT / "docs/adr").glob("[0-9]*.md")}
    listed = {target for page, target in links() if page == PROJECT_ROOT / "docs/adr/README.md"}

    assert listed == decisions
