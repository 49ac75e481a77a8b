"""Who the features are about."""

from feast import Entity, ValueType

user = Entity(
    name="user_id",
    join_keys=["user_id"],
    value_type=ValueType.STRING,
    description="A person who talks to the assistant, by the stable id that the identity service gives.",
    owner="platform@freshet.dev",
    tags={"team": "platform"},
)
