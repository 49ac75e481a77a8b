"""Names to draw: awkward, and legal in Feast."""

from __future__ import annotations

from hypothesis import strategies as st

_AWKWARD = (
    "plain", "Plain_2", "a b", " lead", "naïve", "特徴", "🙂", "';drop", 'qu"ote', "per%cent", "%41", "q?x", "x&y=z",
    "a+b", "a.b", "A-1", "1st", "select", "_ts", "a__b", "__a", "b__", "*", "[x]", "{y}", "$z", "\\w", "tab\there",
    "line\nfeed", "values", "features", "entities", "statuses", "event_timestamps", "feature_service", "x" * 90, "?",
    "#", "~", "None",
)  # fmt: skip
_FEATURES_ONLY = ("a/b", "a:b", ":", "/", "entity", "x@v1", "on_stale")

_any_name = st.text(
    st.characters(codec="utf-8", exclude_characters="@:/\x00", exclude_categories=["Cs"]), min_size=1, max_size=4
)

view_names = st.sampled_from(_AWKWARD) | _any_name
"""Names of views, aliases, services and join keys."""

feature_names = st.sampled_from(_AWKWARD + _FEATURES_ONLY) | _any_name
"""Names of features."""
