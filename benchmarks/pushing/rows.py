"""What is pushed: rows of one feature view, every one a pure function of its user's number."""

from __future__ import annotations

import random

from benchmarks.dataset import Service, Value, View

PUSH_SOURCE = "user_events"
VIEW = View(
    "user_activity",
    "user_id",
    {
        "sessions_7d": "Int64",
        "messages_7d": "Int64",
        "lifetime_value": "Float64",
        "mean_session_seconds": "Float64",
        "last_model": "String",
        "subscriber": "Bool",
    },
)
"""6 features. Without nulls: `feast serve` makes floats of the integers beside one."""
SERVICE = Service("user_activity_v1", VIEW.entity, (VIEW,))
_MODELS = ["heron-mini", "heron-large", "osprey", "kingfisher-2026-04", "wren"]


def user_id(number: int) -> str:
    """The join key of a user."""
    return f"u{number:07d}"


def values(number: int) -> dict[str, Value]:
    """The features of a user, in the order of the view; the same in every row of that user."""
    dice = random.Random(f"push:{number}")
    return {
        "sessions_7d": int(dice.expovariate(1 / 40)),
        "messages_7d": dice.randrange(0, 100_000),
        "lifetime_value": round(dice.lognormvariate(3, 1), 2),
        "mean_session_seconds": round(dice.lognormvariate(5, 1), 3),
        "last_model": dice.choice(_MODELS),
        "subscriber": dice.random() < 0.3,
    }
