"""A Feast repo that cannot be used: the line names the file and what is wrong in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.starts import YAML, broken, check, defining
from tests.integration.server_process import run_here

REGISTRY = "registry:\n  registry_type: sql\n  path: sqlite:///data/registry.db\n"
ONLINE = "online_store:\n  type: sqlite\n  path: data/online.db\n"

BROKEN = {
    "no YAML": ("provider: local", "provider: [local", ", line 3", "not valid YAML"),
    "a tab": ("  type: duckdb", "\ttype: duckdb", ", line ", "not valid YAML"),
    "no text": (YAML, "\x00", "not valid YAML"),
    "no mapping": (YAML, "- project\n", "not a mapping"),
    "nothing": (YAML, "", "not a mapping"),
    "no project": ("project: lab\n", "", "`project` is missing"),
    "no registry": (REGISTRY, "", "`registry` is missing"),
    "a project name": ("project: lab", "project: l a b", "project"),
    "a provider": ("provider: local", "provider: nimbus", "nimbus"),
    "an online store type": ("type: sqlite", "type: cassandraa", "cassandraa"),
    "an offline store type": ("type: duckdb", "type: nope", "nope"),
    "a store class": ("type: duckdb", "type: nowhere.to.be.FoundOfflineStore", "nowhere.to.be"),
    "an online store that is a list": (ONLINE, "online_store: [sqlite]\n", "online_store"),
    "an online store that is a number": (ONLINE, "online_store: 5\n", "online_store"),
    "a store type that is a number": ("type: sqlite", "type: 5", "online_store"),
    "a store type that is a list": ("type: duckdb", "type: [duckdb]", "offline_store"),
    "an online path that is a list": ("data/online.db", "[1, 2]", "online_store"),
    "an unknown option": ("path: data/online.db", "path: data/online.db\n  colour: red", "colour"),
    "a version": ("version: 3", "version: banana", "entity_key_serialization_version", "integer"),
    "a registry type": ("registry_type: sql", "registry_type: nope", "nope"),
    "a registry that is a number": (REGISTRY, "registry: 5\n", "registry"),
    "a registry path that is a number": ("sqlite:///data/registry.db", "7", "path", "string"),
    "a registry path that is no URL": ("sqlite:///data/registry.db", "nonsense", "registry"),
    "a registry without a driver": ("sqlite:///data/registry.db", "oracle://u:s3cret-of-nobody@h/x", "oracledb"),
    "a registry's ttl": ("registry_type: sql", "registry_type: sql\n  cache_ttl_seconds: soon", "cache_ttl_seconds"),
    "unset variables": ("path: data/online.db", "path: ${NO_SUCH_A}/${NO_SUCH_B}", "NO_SUCH_A, NO_SUCH_B"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_feature_store_yaml(name: str, tmp_path: Path) -> None:
    old, new, *says = BROKEN[name]
    environment = broken(tmp_path, old, new)
    check(run_here("apply", environment=environment), f"{tmp_path}/feature_store.yaml", *says)


@pytest.mark.parametrize("command", [("serve", "--port", "0"), ("up", "--port", "0"), ("compute",), ("materialize",)])
def test_every_command_says_it(command: tuple[str, ...], tmp_path: Path) -> None:
    environment = broken(tmp_path, "version: 3", "version: banana")
    check(run_here(*command, environment=environment), "feature_store.yaml", "entity_key_serialization_version")


def test_a_missing_folder_and_a_missing_file(tmp_path: Path) -> None:
    missing = {"FRESHET_FEATURE_REPO": str(tmp_path / "nowhere")}
    check(run_here("apply", environment=missing), f"no folder {tmp_path}/nowhere", "FRESHET_FEATURE_REPO")
    empty = {"FRESHET_FEATURE_REPO": str(tmp_path)}
    check(run_here("apply", environment=empty), f"no feature_store.yaml in {tmp_path}", "FRESHET_FEATURE_REPO")
    other = {**empty, "FRESHET_FEATURE_STORE_YAML": "other.yaml"}
    check(run_here("apply", environment=other), "no other.yaml", "FRESHET_FEATURE_STORE_YAML")


DEFINITIONS = {
    "a syntax error": ("x = 1\ndef view(:\n    pass\n", "line 2", "SyntaxError"),
    "an indentation error": ("x = 1\n  y = 2\n", "line 2", "IndentationError"),
    "an import": ("import os\nimport no_such_module\n", "line 2", "no_such_module"),
    "an error of two lines": ("raise RuntimeError('one\\ntwo')\n", "line 1", "one two"),
    "an exit": ("import sys\n\nsys.exit(3)\n", "line 3", "SystemExit"),
    "a refusal of Feast": (
        "from feast import Entity, ValueType\n\nEntity(name='e', join_keys=['a', 'b'], value_type=ValueType.STRING)\n",
        "line 3",
    ),
    "another project": ("from feast import Project\n\nother = Project(name='other')\n", "other", "lab"),
}


@pytest.mark.parametrize("name", DEFINITIONS)
def test_definitions_that_cannot_be_read(name: str, tmp_path: Path) -> None:
    definitions, *says = DEFINITIONS[name]
    environment = defining(tmp_path, definitions)
    file = "feature_store.yaml" if name == "another project" else "definitions.py"
    check(run_here("apply", environment=environment), str(tmp_path), file, *says)


def test_a_schema_that_cannot_be_inferred(tmp_path: Path) -> None:
    """Feast looks into the source for the fields that a view does not name; here there is none yet."""
    environment = defining(
        tmp_path,
        "from feast import Entity, FeatureView, FileSource, ValueType\n"
        "e = Entity(name='e', join_keys=['k'], value_type=ValueType.INT64)\n"
        "v = FeatureView(name='v', entities=[e], source=FileSource(path='data/v.parquet', timestamp_field='ts'))\n",
    )
    check(run_here("apply", environment=environment), str(tmp_path), "v.parquet")
