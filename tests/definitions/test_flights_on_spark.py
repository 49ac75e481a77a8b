"""examples/flights with Spark as its offline store, in local mode: the same training sets as DuckDB's, to the bit."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from app.settings import PROJECT_ROOT
from tests.definitions.flights_reference import flights
from tests.integration.server_process import run

EXAMPLE = PROJECT_ROOT / "examples" / "flights"
ENGINES = {"duckdb": "feature_store.yaml", "spark": "feature_store.spark.yaml"}

pytestmark = pytest.mark.full


@pytest.fixture(scope="module")
def environments(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, str]]:
    """A copy of the example with its definitions applied for both engines, and how to name each."""
    assert shutil.which("java"), "Spark needs Java: install the Debian package default-jre-headless"
    folder = tmp_path_factory.mktemp("flights")
    repo = folder / "repo"
    shutil.copytree(EXAMPLE, repo, ignore=lambda _, names: [name for name in names if name.endswith(".parquet")])
    command = [sys.executable, str(repo / "prepare.py"), "--out", str(repo / "data"), "--microseconds"]
    subprocess.run(command, check=True)
    for file in (repo / "data").glob("*.parquet"):
        _know_some_later(file)
    made = {
        engine: {
            "FRESHET_FEATURE_REPO": str(repo),
            "FRESHET_FEATURE_STORE_YAML": file,
            "FRESHET_DATA_DIR": str(folder / engine),
        }
        for engine, file in ENGINES.items()
    }
    for environment in made.values():
        done = run("apply", environment=environment, folder=folder)
        assert done.returncode == 0, done
    return made


def _know_some_later(file: Path) -> None:
    """The example takes every row to have been created when it happened."""
    table = pq.read_table(file)
    late = pa.array([number % 5 * 6 * 3_600_000_000 for number in range(len(table))], pa.duration("us"))
    place = table.column_names.index("created")
    pq.write_table(table.set_column(place, "created", pc.add(table["event_timestamp"], late)), file)


@pytest.fixture(scope="module")
def spine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Some departures when they were due, and rows for which there is little or nothing. Feast's SQL puts each
    beside every earlier row of its airport, 43 million pairs for 5,000 departures."""
    asked = (
        flights()[["scheduled", "origin", "carrier", "flight"]]
        .iloc[::2400]
        .rename(columns={"scheduled": "event_timestamp"})
    )
    odd = pd.DataFrame(
        {
            "event_timestamp": pd.to_datetime(["2012-06-01", "2013-07-04", "2013-07-04", "2013-07-04"], utc=True),
            "origin": ["JFK", "JFK", None, "XXX"],
            "carrier": ["B6", "B6", "B6", None],
            "flight": [1, -5, 1, 2],
        }
    )
    rows = pd.concat([asked, asked.head(10), odd], ignore_index=True)
    rows["label"] = range(len(rows))
    place = tmp_path_factory.mktemp("spine") / "spine.parquet"
    pq.write_table(pa.Table.from_pandas(rows, preserve_index=False), place)
    return place


def exported(environment: Mapping[str, str], spine: Path, out: Path, *options: str) -> tuple[pa.Table, list[object]]:
    """The rows of an export, and what its manifest says of each feature."""
    files = ["--spine", str(spine), "--out", str(out)]
    done = run("export", *options, "--full-feature-names", *files, environment=environment, folder=out.parent)
    assert done.returncode == 0, done
    manifest = json.loads(Path(f"{out}.manifest.json").read_text())
    return pq.read_table(out), manifest["statistics"]


@pytest.mark.parametrize(
    "options",
    [["--service", "departure_delay_wide_v1"], ["--service", "flight_v1"], ["--service", "flight_v1", "--known-at"]],
    ids=["departures", "flights", "known_at"],
)
def test_spark_finds_what_duckdb_finds(
    environments: dict[str, dict[str, str]], spine: Path, tmp_path: Path, options: list[str]
) -> None:
    wanted, said = exported(environments["duckdb"], spine, tmp_path / "duckdb.parquet", *options)
    found, told = exported(environments["spark"], spine, tmp_path / "spark.parquet", *options)
    assert found.equals(wanted)
    assert told == said
    assert found.num_rows == pq.read_metadata(spine).num_rows > 150


def test_the_same_again_on_spark(environments: dict[str, dict[str, str]], spine: Path, tmp_path: Path) -> None:
    out = tmp_path / "rows.parquet"
    exported(environments["spark"], spine, out, "--feature", "route_departures:flights_7d")
    again = run("export", "--reproduce", f"{out}.manifest.json", environment=environments["spark"], folder=tmp_path)
    assert again.returncode == 0, again
    assert "the same" in again.stdout
