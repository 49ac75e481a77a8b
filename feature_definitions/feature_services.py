"""What the models read."""

from feast import FeatureService
from feature_views import user_activity, user_realtime
from on_demand_views import user_engagement

assistant_v1 = FeatureService(
    name="assistant_v1",
    features=[user_activity, user_realtime, user_engagement],
    description="What the assistant's ranking model, version 1, reads about a user.",
    owner="assistant-ml@freshet.dev",
    tags={"team": "assistant-ml", "model": "assistant-ranking"},
)
