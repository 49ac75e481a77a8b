"""The stored features."""

from datetime import timedelta

from entities import user
from feast import FeatureView, Field
from feast.types import Float32, Int64, String
from sources import user_activity_source, user_realtime_events

user_activity = FeatureView(
    name="user_activity",
    entities=[user],
    ttl=timedelta(days=7),
    schema=[
        Field(name="user_id", dtype=String, description="Join key."),
        Field(name="sessions_7d", dtype=Int64, description="Distinct sessions in the last 7 days."),
        Field(
            name="avg_session_duration_sec",
            dtype=Float32,
            description="Mean seconds of activity per session in the last 7 days.",
        ),
        Field(name="messages_sent_7d", dtype=Int64, description="Messages sent in the last 7 days."),
        Field(name="tools_used_7d", dtype=Int64, description="Tool invocations in the last 7 days."),
        Field(name="preferred_model", dtype=String, description="The model of most messages in the last 7 days."),
        Field(name="total_tokens_7d", dtype=Int64, description="Tokens read and written in the last 7 days."),
    ],
    source=user_activity_source,
    online=True,
    description="How a user has used the assistant over the last 7 days, computed daily.",
    owner="platform@freshet.dev",
    # Computed at midnight: before the next run its rows are 24 hours old, and that is as it should be.
    tags={"team": "platform", "freshness_sla": "daily", "freshness_warn": "25h", "version": "2"},
)

user_realtime = FeatureView(
    name="user_realtime",
    entities=[user],
    ttl=timedelta(hours=1),
    schema=[
        Field(name="user_id", dtype=String, description="Join key."),
        Field(name="current_session_messages", dtype=Int64, description="Messages sent in the current session."),
        Field(name="current_session_tokens", dtype=Int64, description="Tokens read and written in the session."),
        Field(
            name="last_active_minutes_ago",
            dtype=Float32,
            description="Minutes since the message before this one, at the event's time.",
        ),
    ],
    source=user_realtime_events,
    online=True,
    description="What a user is doing in the current session, pushed as it happens.",
    owner="platform@freshet.dev",
    tags={"team": "platform", "freshness_sla": "realtime", "version": "1"},
)
