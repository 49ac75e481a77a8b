"""The definitions of a repo, read as Feast reads them: each object once, and no trace left in the process."""

from __future__ import annotations

import importlib
import sys
import types
from pathlib import Path

import pytest

from app.settings import Settings
from app.stores.definitions import read_definitions
from app.stores.repo import open_repo
from tests.repos.everything import write_repo

SERVICES = """
from feast import FeatureService
from definitions import drivers

one_more = FeatureService(name="one_more", features=[drivers])
"""


def names(folder: Path) -> list[str]:
    """The views that the repo defines."""
    settings = Settings(feature_repo=folder)
    repo = open_repo(settings)
    contents = read_definitions(repo, settings)
    repo.close()
    assert "one_more" in [service.name for service in contents.feature_services]
    return sorted(view.name for view in contents.feature_views)


def test_a_repo_has_its_views_once_whatever_the_process_has_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a package, by the bare name that Feast uses, and a stranger of that name."""
    package = write_repo(tmp_path / "shop")
    (package / "__init__.py").touch()
    (package / "services.py").write_text(SERVICES, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    imported = importlib.import_module("shop.definitions")
    stranger = types.ModuleType("definitions")
    try:
        for module in (imported, stranger):
            monkeypatch.setitem(sys.modules, "definitions", module)
            assert names(package) == ["disabled_view", "drivers", "trips", "weather"]
            assert sys.modules["definitions"] is module
    finally:
        for name in [name for name in sys.modules if name.partition(".")[0] == "shop"]:
            del sys.modules[name]


def test_two_repos_with_files_of_one_name_do_not_see_each_other(tmp_path: Path) -> None:
    first, second = write_repo(tmp_path / "first"), write_repo(tmp_path / "second")
    for folder in (first, second):
        (folder / "services.py").write_text(SERVICES, encoding="utf-8")
    text = (second / "definitions.py").read_text(encoding="utf-8")
    (second / "definitions.py").write_text(text.replace('name="weather"', 'name="forecast"'), encoding="utf-8")
    assert "weather" in names(first)
    assert "forecast" in names(second)
    assert "forecast" not in names(first)
    assert not {"definitions", "services"} & sys.modules.keys()
