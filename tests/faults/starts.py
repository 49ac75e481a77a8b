"""What the tests of failing starts share: the repos that cannot be used, and what a failure must look like."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.repos.everything import write_repo

YAML = """\
project: lab
provider: local
registry:
  registry_type: sql
  path: sqlite:///data/registry.db
online_store:
  type: sqlite
  path: data/online.db
offline_store:
  type: duckdb
entity_key_serialization_version: 3
"""
PASSWORD = "s3cret-of-nobody"
NOBODY_THERE = f"postgresql+psycopg://u:{PASSWORD}@127.0.0.1:1/x"


def check(done: subprocess.CompletedProcess[str], *says: str) -> None:
    """One line that begins with `error:` and says all this; status 1; nothing on stdout."""
    assert (done.returncode, done.stdout) == (1, ""), done
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    assert [text for text in says if text not in line] == [], line
    assert PASSWORD not in line


def broken(folder: Path, old: str, new: str) -> dict[str, str]:
    """The environment of a repo whose feature_store.yaml has `new` in place of `old`."""
    assert old in YAML
    write_repo(folder)
    (folder / "feature_store.yaml").write_text(YAML.replace(old, new), encoding="utf-8")
    return {"FRESHET_FEATURE_REPO": str(folder)}


def defining(folder: Path, definitions: str) -> dict[str, str]:
    """The environment of a repo with these definitions."""
    write_repo(folder)
    (folder / "definitions.py").write_text(definitions, encoding="utf-8")
    return {"FRESHET_FEATURE_REPO": str(folder)}
