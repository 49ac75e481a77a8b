"""The features that are computed when they are read, by the same function online and in training."""

from typing import Any

from feast import Field
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Float64
from feature_views import user_activity


@on_demand_feature_view(
    sources=[user_activity],
    schema=[
        # No descriptions here: Feast 0.67 compares these fields with those it infers from the function, descriptions
        # included, and refuses to apply where they differ.
        Field(name="tokens_per_message", dtype=Float64),
        Field(name="messages_per_session", dtype=Float64),
    ],
    mode="python",
    description="How intense a user's conversations are: total_tokens_7d / messages_sent_7d and messages_sent_7d / "
    "sessions_7d. Null where the divisor is zero or an input is missing.",
    owner="platform@freshet.dev",
    tags={"team": "platform", "version": "1"},
)
def user_engagement(inputs: dict[str, list[Any]]) -> dict[str, list[Any]]:
    """Ratios over columns of equal length. Feast keeps this function by its source: it may use nothing around it."""

    def ratios(above: list[Any], below: list[Any]) -> list[Any]:
        # An input is None online and NaN in a training set built by pandas; `value == value` is false for NaN alone.
        def usable(value: Any) -> bool:
            return value is not None and value == value

        return [
            float(one) / float(other) if usable(one) and usable(other) and other else None
            for one, other in zip(above, below, strict=True)
        ]

    return {
        "tokens_per_message": ratios(inputs["total_tokens_7d"], inputs["messages_sent_7d"]),
        "messages_per_session": ratios(inputs["messages_sent_7d"], inputs["sessions_7d"]),
    }
