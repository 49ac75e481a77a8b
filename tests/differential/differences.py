"""Where Freshet's answer may differ from that of stock Feast 0.67: the whole list, each entry with its reason.

comparing.py refuses every difference that is not applied by name from this list, and the tests demand that each entry
is met by what is drawn, so that none outlives its reason.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Difference:
    """One way to differ: what Feast answers, what Freshet does, and why."""

    name: str
    feast: str
    freshet: str
    why: str


MISSING_ROW = Difference(
    "missing row",
    "PRESENT, null and 1970-01-01 from Redis; NOT_FOUND, null and 1970-01-01 from SQLite",
    "NOT_FOUND, null, no event timestamp",
    "rule 2: a row that is not there must not look like one with nulls",
)
OUTSIDE_TTL = Difference(
    "outside ttl",
    "PRESENT with the value: the ttl counts in training only",
    "OUTSIDE_MAX_AGE; the value is null unless on_stale=serve asks for it",
    "rule 1: a value holds no longer than the ttl of its view, online as in training",
)
FUTURE_ROW = Difference(
    "future row",
    "PRESENT with the value",
    "NOT_FOUND and null; the event timestamp is shown",
    "rule 1: a row does not hold before its event timestamp",
)
NULL_VALUE = Difference(
    "null value",
    "PRESENT and null",
    "NULL_VALUE and null",
    "rule 2: only PRESENT carries a value",
)
NEVER_WRITTEN = Difference(
    "feature never written",
    "PRESENT and null from Redis, NOT_FOUND and null from SQLite",
    "NULL_VALUE and null",
    "rule 2, whatever the store: the row is there, this value of it is not",
)
JSON_NULL = Difference(
    "JSON null",
    "PRESENT, the text `null`",
    "NULL_VALUE and null",
    "JSON's null is no value to anybody who reads it in a JSON answer",
)
NO_TIME = Difference(
    "no time",
    "the smallest int64, which Feast writes for NaT and for a null inside a list of timestamps",
    "null, NULL_VALUE where it is the whole value",
    "Feast's own Python client turns it into None as well",
)
NULL_ELEMENT = Difference(
    "null inside a list",
    "an empty text, in a list of UUIDs or of decimals, at which Feast's own Python client stumbles",
    "null",
    "an empty text is neither a UUID nor a decimal: it can only have been a null",
)
NOT_FINITE = Difference(
    "not finite",
    "NaN or an infinity",
    "null, NULL_VALUE where it is the whole value",
    "JSON has neither, and only PRESENT carries a value",
)
SETS_UNORDERED = Difference(
    "order of a set",
    "in the order in which Python iterated over the set when it was written",
    "in an order of its own, without duplicates",
    "a set has no order, and doubles that differ may be equal once they are stored as floats",
)
ZONE_DROPPED = Difference(
    "zone of a timestamp",
    "instant and zone",
    "the instant in UTC",
    "all times are UTC (rule 1)",
)
WIDENED_FLOAT = Difference(
    "widened float",
    "a 32-bit float",
    "a JSON number that is this float once it is narrowed to 32 bits",
    "JSON has one kind of number; its digits may be those of the 32-bit float or of the double nearest to it",
)
TEXT_KEYS = Difference(
    "keys of a scalar map",
    "integers, UUIDs, decimals",
    "their text",
    "the keys of a JSON object are text",
)
FEATURE_ORDER = Difference(
    "order of features",
    "grouped by view, in an order that follows the hash seed of the process",
    "as asked for, or as the service declares them",
    "rule 3",
)

DIFFERENCES = (
    MISSING_ROW,
    OUTSIDE_TTL,
    FUTURE_ROW,
    NULL_VALUE,
    NEVER_WRITTEN,
    JSON_NULL,
    NO_TIME,
    NULL_ELEMENT,
    NOT_FINITE,
    SETS_UNORDERED,
    ZONE_DROPPED,
    WIDENED_FLOAT,
    TEXT_KEYS,
    FEATURE_ORDER,
)

NOT_DRAWN = {
    "a join key that is an empty text or holds NUL, or a time before 1800 or after 9000": (
        "refused with 422 by the rules for requests; Feast looks it up"
    ),
    "an empty bytes key": "Feast itself cannot look it up",
    "a time before 1970 with microseconds as a key in a DataFrame": (
        "Feast writes it under the second before it and looks it up under the second after it"
    ),
    "GET of a join key named like an option (full_feature_names, max_staleness, on_stale)": "POST reads it",
    "GET of a service whose name holds a slash": "the name is one segment of the path; POST reads it",
    "GET of a service whose name holds a percent sign": "the client of the tests decodes its path twice",
    "an event timestamp beyond 2242 with microseconds, or before 1700": (
        "Feast adds seconds and nanoseconds as a double and is microseconds off; Freshet is not"
    ),
    "a feature named _ts:<its view>": "Feast's Redis store takes it for the timestamp",
    "a feature that two views of one answer would give the same full name": "Feast's answer cannot tell them apart",
    "a service that reads one join key renamed and under its own name": (
        "Feast takes the column that the request names last for both"
    ),
    "a scalar map with keys that are texts, bytes, times, truth values or doubles": (
        "there is no rule yet for the text of such a key"
    ),
    "an int64 beyond 2^53 beside a null in a data frame": "Feast makes a double of it",
    "a data frame for a view without entities": "Feast stores it under a key that it does not read",
}
"""What no case holds, since the two cannot be compared there or one of them takes no such request, with the reason."""
