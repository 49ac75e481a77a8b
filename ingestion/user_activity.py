"""The feature view `user_activity`: what each user did in the last seven days."""

from __future__ import annotations

import tempfile
import uuid
from datetime import datetime, timedelta
from pathlib import Path

import duckdb
import pyarrow as pa

from app.domain import utc
from app.jobs.pipelines import Events
from ingestion.events import EVENT_SCHEMA, check_schema

WINDOW = timedelta(days=7)
"""How far back events count: as_of - WINDOW is outside, as_of is inside."""

_TIME = pa.timestamp("us", "UTC")

USER_ACTIVITY_SCHEMA: pa.Schema = pa.schema(
    [
        ("user_id", pa.string()),
        ("sessions_7d", pa.int64()),
        ("avg_session_duration_sec", pa.float32()),
        ("messages_sent_7d", pa.int64()),
        ("tools_used_7d", pa.int64()),
        ("preferred_model", pa.string()),
        ("total_tokens_7d", pa.int64()),
        ("event_timestamp", _TIME),
        ("created", _TIME),
    ]
)
"""One row per user with at least one counted event, sorted by user_id (by code point).

- `sessions_7d`: distinct sessions.
- `avg_session_duration_sec`: seconds; the mean, over sessions, of the sum of their events' durations. An unknown
  duration (null, not finite, or beyond 1e12 s) adds nothing; a session of unknown durations only isn't averaged; null
  when no session is left.
- `messages_sent_7d`, `tools_used_7d`, `total_tokens_7d`: sums; an unknown number adds nothing.
- `preferred_model`: the model with most messages; among equals the one with most tokens, then the first by name; null
  when no event names its model.
- `event_timestamp`: as_of. `created`: known_at, or as_of without one. Both UTC.
"""

# Only the few events that have copies are ranked, which takes half the time of ranking all. Where copies arrived
# together their values decide, so that the order of files, rows and threads never does. Durations are added as
# decimals, to the microsecond: floats would give another sum in another order.
_FEATURES_SQL = """
WITH counted AS MATERIALIZED (
    SELECT user_id, session_id, event_time, arrival_time, duration_sec, message_count, tool_invocations, model, tokens
    FROM events
    WHERE event_time > $window_start AND event_time <= $as_of AND arrival_time <= $known_at
      AND user_id <> '' AND session_id <> ''
),
copied AS MATERIALIZED (
    SELECT user_id, session_id, event_time FROM counted GROUP BY ALL HAVING count(*) > 1
),
event AS (
    SELECT * FROM counted ANTI JOIN copied USING (user_id, session_id, event_time)
    UNION ALL
    SELECT * FROM counted SEMI JOIN copied USING (user_id, session_id, event_time)
    QUALIFY row_number() OVER (
        PARTITION BY user_id, session_id, event_time
        ORDER BY arrival_time, duration_sec, message_count, tool_invocations, model, tokens
    ) = 1
),
session_model AS MATERIALIZED (
    SELECT user_id, session_id, model,
        sum(TRY_CAST(duration_sec AS DECIMAL(18, 6))) AS duration,
        sum(message_count) AS messages, sum(tool_invocations) AS tools, sum(tokens) AS tokens
    FROM event GROUP BY user_id, session_id, model
),
session AS (
    SELECT user_id, session_id, sum(duration) AS duration,
        sum(messages) AS messages, sum(tools) AS tools, sum(tokens) AS tokens
    FROM session_model GROUP BY user_id, session_id
),
user_total AS (
    SELECT user_id, count(*) AS sessions, sum(duration)::DOUBLE / count(duration) AS duration,
        coalesce(sum(messages), 0) AS messages, coalesce(sum(tools), 0) AS tools, coalesce(sum(tokens), 0) AS tokens
    FROM session GROUP BY user_id
),
user_model AS (
    SELECT user_id, model, coalesce(sum(messages), 0) AS messages, coalesce(sum(tokens), 0) AS tokens
    FROM session_model WHERE model IS NOT NULL GROUP BY user_id, model
),
preferred AS (
    SELECT user_id, model FROM user_model
    QUALIFY row_number() OVER (PARTITION BY user_id ORDER BY messages DESC, tokens DESC, model) = 1
)
SELECT user_total.user_id,
    sessions AS sessions_7d,
    duration::FLOAT AS avg_session_duration_sec,
    messages::BIGINT AS messages_sent_7d,
    tools::BIGINT AS tools_used_7d,
    preferred.model AS preferred_model,
    tokens::BIGINT AS total_tokens_7d
FROM user_total LEFT JOIN preferred USING (user_id)
ORDER BY user_total.user_id
"""


def compute(events: Events, as_of: datetime, known_at: datetime | None = None) -> pa.Table:
    """The rows of `user_activity` (USER_ACTIVITY_SCHEMA) at `as_of`, from what had arrived by `known_at`.

    An event counts if as_of - WINDOW < event_time <= as_of and arrival_time <= known_at (as_of when None); of its
    copies the one that arrived first. Naive times are UTC. The same events and times give the same table, whatever the
    order of rows and files, the machine's time zone and the number of threads. A dataset is streamed, not loaded, and
    row groups outside the window are skipped.

    Raises ConfigurationError when `events` lacks a column of EVENT_SCHEMA or holds another type in it, and
    duckdb.ConversionException when a sum doesn't fit int64.
    """
    as_of = utc(as_of)
    known_at = as_of if known_at is None else utc(known_at)
    if not len(events.schema):  # how Arrow opens a folder that has no file yet
        events = EVENT_SCHEMA.empty_table()
    check_schema(events.schema, "the table or dataset of events")
    parameters = {"window_start": as_of - WINDOW, "as_of": as_of, "known_at": known_at}
    with _connect() as connection:
        connection.register("events", events)
        features: pa.Table = connection.sql(_FEATURES_SQL, params=parameters).to_arrow_table()
    for column, time in (("event_timestamp", as_of), ("created", known_at)):
        features = features.append_column(column, pa.repeat(pa.scalar(time, _TIME), features.num_rows))
    return features.cast(USER_ACTIVITY_SCHEMA)


def _connect() -> duckdb.DuckDBPyConnection:
    """A private in-memory database that knows only UTC, fetches no extension and spills to the temporary folder."""
    spill = Path(tempfile.gettempdir()) / f"freshet-compute-{uuid.uuid4().hex}"
    connection = duckdb.connect(
        config={
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "temp_directory": str(spill),  # DuckDB makes it when it must spill and removes it on close
        }
    )
    connection.execute("SET TimeZone = 'UTC'")
    return connection
