"""Where the offline rows are. The profile decides: Parquet folders embedded, PostgreSQL tables in production.

Which profile holds is read from the feature_store.yaml in use, so that the definitions cannot disagree with the stores.
"""

import os
from pathlib import Path

import yaml
from feast import FileSource, PushSource
from feast.data_format import ParquetFormat
from feast.data_source import DataSource
from feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source import PostgreSQLSource

REPO = Path(__file__).resolve().parent


def _offline_store() -> str:
    """The offline store type of the yaml in use: Feast's variable names it, then Freshet's, then it is the default."""
    named = os.environ.get("FEAST_FS_YAML_FILE_PATH") or os.environ.get("FRESHET_FEATURE_STORE_YAML")
    config = yaml.safe_load((REPO / (named or "feature_store.yaml")).read_text(encoding="utf-8"))
    return str(config["offline_store"]["type"])


def _batch_source(view: str, description: str) -> DataSource:
    """The batch source of a view: one folder of Parquet part files, or one PostgreSQL table."""
    shared = {
        "name": f"{view}_source",
        "timestamp_field": "event_timestamp",
        "created_timestamp_column": "created",
        "description": description,
        "owner": "platform@freshet.dev",
        "tags": {"team": "platform"},
    }
    if _offline_store() == "postgres":
        return PostgreSQLSource(table=view, **shared)
    # Relative to this folder, unless FRESHET_DATA_DIR moves the embedded files.
    folder = Path(os.environ.get("FRESHET_DATA_DIR", "data")) / view
    return FileSource(path=str(folder), file_format=ParquetFormat(), **shared)


user_activity_source = _batch_source(
    "user_activity", "One row per active user and day, computed from raw assistant events by ingestion.user_activity."
)

# Its own source, not the activity table: that one has none of these columns (docs/adr/0003).
user_realtime_source = _batch_source("user_realtime", "Every row that was pushed to user_realtime_events.")

user_realtime_events = PushSource(
    name="user_realtime_events",
    batch_source=user_realtime_source,
    description="What a user is doing in the current session, pushed by the assistant backend after each message.",
    owner="platform@freshet.dev",
    tags={"team": "platform"},
)
