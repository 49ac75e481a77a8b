"""Definitions: the Python files of a Feast repo, read and brought into the registry."""

from __future__ import annotations

import contextlib
import os
import sys
import traceback
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from feast import Project
from feast.diff.property_diff import TransitionType
from feast.entity import Entity
from feast.protos.feast.core.DataSource_pb2 import DataSource as DataSourceProto
from feast.repo_contents import RepoContents
from feast.repo_operations import get_repo_files, parse_repo

from app.errors import ConfigurationError, FieldError, FreshetError, StoreUnavailableError, one_line
from app.settings import Settings
from app.sla import sla_faults
from app.stores.repo import FeastRepo
from app.stores.versions import keep_numbers


@dataclass(frozen=True)
class Change:
    """One difference between the repo and the registry: `create`, `update`, or `kept` (no longer in the repo)."""

    action: str
    kind: str
    name: str


def apply_definitions(repo: FeastRepo, settings: Settings) -> list[Change]:
    """Bring the repo's definitions into the registry and make the online tables; returns what was different.

    Nothing is written when nothing differs. Objects that the repo no longer has stay in the registry, with their data:
    removing them is a decision of its own, not a side effect. Raises ConfigurationError for definitions that cannot
    be imported, that Feast refuses, or whose tags mean nothing.
    """
    contents = read_definitions(repo, settings)
    _check_tags(repo, contents)
    try:
        with _inside(repo, settings):
            changes = _changes(repo, contents)
            keep_numbers(repo, _views(contents))
            if any(change.action != "kept" for change in changes):
                repo.store.apply(_objects(contents), partial=True)
            else:
                # The registry may know tables that a lost online store no longer has.
                tables = [*contents.feature_views, *contents.stream_feature_views]
                repo.store.provider.update_infra(repo.project, [], tables, [], contents.entities, partial=True)
    except sa.exc.OperationalError as error:
        raise StoreUnavailableError("The database of the registry does not answer") from error
    except FreshetError:
        raise
    except Exception as error:  # Feast judges definitions by whatever they make it raise
        raise ConfigurationError(f"{repo.path}: Feast refuses the definitions: {one_line(error)}") from error
    return changes


def read_definitions(repo: FeastRepo, settings: Settings) -> RepoContents:
    """Import the repo's Python files as `feast apply` does. Raises ConfigurationError with file and line."""
    try:
        with _inside(repo, settings):
            contents = parse_repo(repo.path)
    except (Exception, SystemExit) as error:  # definitions are user code: whatever it raises is one line for the user
        words = " ".join(str(error).split())
        raise ConfigurationError(f"{_place(error, repo)}: {type(error).__name__}: {words}") from error
    if not contents.projects:
        description = repo.store.config.project_description or ""
        contents.projects.append(Project(name=repo.project, description=description))
    names = [project.name for project in contents.projects]
    if names != [repo.project]:
        raise ConfigurationError(
            f"{repo.path} defines the Feast project {', '.join(names)}, but {repo.yaml_path.name} says {repo.project}"
        )
    return contents


def _place(error: BaseException, repo: FeastRepo) -> str:
    """The file and line of the repo where an error arose; a syntax error has no frame there."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}, line {error.lineno}"
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if str(repo.path) in frame.filename]
    return f"{frames[-1].filename}, line {frames[-1].lineno}" if frames else str(repo.path)


def _views(contents: RepoContents) -> list[Any]:
    return [
        *contents.feature_views,
        *contents.on_demand_feature_views,
        *contents.stream_feature_views,
        *contents.label_views,
    ]


def _check_tags(repo: FeastRepo, contents: RepoContents) -> None:
    """Raise ConfigurationError that names every tag of a view which promises something that makes no sense."""
    faults = [FieldError(view.name, fault) for view in _views(contents) for fault in sla_faults(view.tags or {})]
    if faults:
        raise ConfigurationError(f"{repo.path}: tags that cannot be; nothing was applied", faults)


def _objects(contents: RepoContents) -> list[Any]:
    return [
        *contents.projects,
        *contents.data_sources,
        *contents.entities,
        *_views(contents),
        *contents.feature_services,
        *contents.permissions,
    ]


def _changes(repo: FeastRepo, contents: RepoContents) -> list[Change]:
    actions = {TransitionType.CREATE: "create", TransitionType.UPDATE: "update", TransitionType.DELETE: "kept"}
    registry_diff, _, _ = repo.store.plan(contents)
    changes = [
        Change(actions[diff.transition_type], str(diff.feast_object_type.value), diff.name)
        for diff in registry_diff.feast_object_diffs
        if diff.transition_type in actions and not (diff.name == "__dummy" and _is_entity(diff)) and _differs(diff)
    ]
    return sorted(changes, key=lambda change: (list(actions.values()).index(change.action), change.kind, change.name))


def _differs(diff: Any) -> bool:
    """Whether an update is one. Feast stamps the sources inside a view with the time at which it looks at them, and
    then takes the stamps for a change of every view that was ever materialized."""
    if diff.transition_type is not TransitionType.UPDATE:
        return True
    pairs = [(change.val_existing, change.val_declared) for change in diff.feast_object_property_diffs]
    return not pairs or any(_unstamped(existing) != _unstamped(declared) for existing, declared in pairs)


def _unstamped(value: Any) -> Any:
    if not isinstance(value, DataSourceProto):
        return value
    source = DataSourceProto()
    source.CopyFrom(value)
    source.ClearField("meta")
    if source.HasField("batch_source"):
        source.batch_source.CopyFrom(_unstamped(source.batch_source))
    return source


def _is_entity(diff: Any) -> bool:
    return isinstance(diff.new_feast_object or diff.current_feast_object, Entity)


@contextlib.contextmanager
def _inside(repo: FeastRepo, settings: Settings) -> Iterator[None]:
    """Run as Feast's CLI does: in the repo, which is importable; and leave no trace of its modules afterwards.

    Feast imports the files of a repo by their bare names, so two repos in one process would see each other's
    `entities.py`, and a repo's `app.py` would be ours.
    """
    tops = {path.relative_to(repo.path).parts[0].removesuffix(".py") for path in get_repo_files(repo.path)}
    hidden = {name: module for name, module in sys.modules.items() if name.partition(".")[0] in tops}
    before = (Path.cwd(), list(sys.path), sys.dont_write_bytecode)
    variables = {name: os.environ.get(name) for name in ("FEAST_FS_YAML_FILE_PATH", "FRESHET_DATA_DIR")}
    for name in hidden:
        del sys.modules[name]
    os.chdir(repo.path)
    sys.path.insert(0, str(repo.path))
    sys.dont_write_bytecode = True
    # Feast's own variable: definitions that depend on the profile read it to find the file in use.
    os.environ["FEAST_FS_YAML_FILE_PATH"] = str(repo.yaml_path)
    if settings.is_bundled_repo:
        os.environ["FRESHET_DATA_DIR"] = str(settings.data_path)
    try:
        with warnings.catch_warnings():
            # Said of every repo with an on-demand view, twice, and nothing that its owner could change.
            warnings.filterwarnings("ignore", "On demand feature view is an experimental feature", RuntimeWarning)
            yield
    finally:
        os.chdir(before[0])
        sys.path[:] = before[1]
        sys.dont_write_bytecode = before[2]
        for name, value in variables.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
        for name in [name for name in sys.modules if name.partition(".")[0] in tops]:
            del sys.modules[name]
        sys.modules.update(hidden)
