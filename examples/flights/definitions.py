"""Feature definitions over all flights that left New York City in 2013: plain Feast, `feast apply` takes them as is.

What is known when (sql/flights.sql computes it): a flight's outcome is known at its event time, the actual departure,
or the scheduled one if it was cancelled, in UTC. A row with event_timestamp t describes the flights with
t - window < event time <= t and nothing later. Delays are minutes, negative where a flight left early, and count
departed flights only: a mean is null where no flight of the window departed.
"""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import yaml
from feast import Entity, FeatureService, FeatureView, Field, FileSource, ValueType
from feast.data_source import DataSource
from feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source import PostgreSQLSource
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Float64, Int64, String

OWNER = "flights@example.com"

# The data stands still, so nobody promises its freshness. Over a live feed this would be hourly or daily, by view.
TAGS = {"team": "flights", "freshness_sla": "none", "version": "1"}

# No limit: the newest row is of January 2014, and with any useful ttl every online answer would be too old to give.
TTL = timedelta(0)


def offline_store_type() -> str:
    """The offline store type in the configuration file in use: the one that Feast's own variable or Freshet's names,
    else feature_store.yaml. (`feast -f FILE` sets neither; set Feast's variable instead.)"""
    named = os.environ.get("FEAST_FS_YAML_FILE_PATH") or os.environ.get("FRESHET_FEATURE_STORE_YAML")
    file = Path(named or "feature_store.yaml")
    if not file.is_absolute():
        file = Path(__file__).resolve().parent / file.name
    config = yaml.safe_load(file.read_text(encoding="utf-8"))
    return str(config["offline_store"]["type"])


OFFLINE_STORE = offline_store_type()


def batch_source(view: str) -> DataSource:
    """Where prepare.py puts the rows of a view: a PostgreSQL table, or a Parquet file below this folder, which Spark
    may read as well."""
    settings: dict[str, Any] = {
        "name": f"{view}_source",
        "timestamp_field": "event_timestamp",
        "created_timestamp_column": "created",
        "description": f"The rows of {view}, made by prepare.py",
        "owner": OWNER,
        "tags": TAGS,
    }
    if OFFLINE_STORE == "postgres":
        return PostgreSQLSource(table=view, **settings)
    if OFFLINE_STORE == "spark":
        # Here and not above: without pyspark it cannot be imported.
        from feast.infra.offline_stores.contrib.spark_offline_store.spark_source import SparkSource

        file = Path(__file__).resolve().parent / "data" / f"{view}.parquet"
        return SparkSource(path=str(file), file_format="parquet", **settings)
    return FileSource(path=f"data/{view}.parquet", **settings)


origin = Entity(
    name="origin",
    join_keys=["origin"],
    value_type=ValueType.STRING,
    description="Airport of departure: EWR, JFK or LGA",
    owner=OWNER,
    tags=TAGS,
)
carrier = Entity(
    name="carrier",
    join_keys=["carrier"],
    value_type=ValueType.STRING,
    description="Airline, as its two-character IATA code",
    owner=OWNER,
    tags=TAGS,
)
flight_number = Entity(
    name="flight_number",
    join_keys=["flight"],
    value_type=ValueType.INT64,
    description="Flight number without the airline; several airlines may use the same one",
    owner=OWNER,
    tags=TAGS,
)

origin_weather = FeatureView(
    name="origin_weather",
    entities=[origin],
    ttl=TTL,
    schema=[
        Field(name="origin", dtype=String),
        Field(name="temp", dtype=Float64, description="Temperature, °F"),
        Field(name="dewp", dtype=Float64, description="Dew point, °F"),
        Field(name="humid", dtype=Float64, description="Relative humidity, %"),
        Field(name="wind_speed", dtype=Float64, description="Wind speed, mph"),
        Field(name="wind_gust", dtype=Float64, description="Gust speed, mph; null when there was no gust"),
        Field(name="precip", dtype=Float64, description="Precipitation of the hour, inches"),
        Field(name="pressure", dtype=Float64, description="Sea level pressure, millibars"),
        Field(name="visib", dtype=Float64, description="Visibility, miles"),
    ],
    source=batch_source("origin_weather"),
    description="The hourly weather observation at the airport, at its UTC hour",
    owner=OWNER,
    tags=TAGS,
)

origin_departures = FeatureView(
    name="origin_departures",
    entities=[origin],
    ttl=TTL,
    schema=[
        Field(name="origin", dtype=String),
        Field(name="dep_delay_mean_1h", dtype=Float64, description="Mean delay over the last hour"),
        Field(name="dep_delay_mean_6h", dtype=Float64, description="Mean delay over the last 6 hours"),
        Field(name="dep_delay_mean_24h", dtype=Float64, description="Mean delay over the last 24 hours"),
        Field(name="flights_24h", dtype=Int64, description="Departed and cancelled flights of the last 24 hours"),
        Field(name="cancelled_24h", dtype=Int64, description="Cancelled flights of the last 24 hours"),
    ],
    source=batch_source("origin_departures"),
    description="How the airport's departures run, at every full UTC hour",
    owner=OWNER,
    tags=TAGS,
)

carrier_departures = FeatureView(
    name="carrier_departures",
    entities=[carrier],
    ttl=TTL,
    schema=[
        Field(name="carrier", dtype=String),
        Field(name="dep_delay_mean_24h", dtype=Float64, description="Mean delay over the last 24 hours"),
        Field(name="dep_delay_mean_7d", dtype=Float64, description="Mean delay over the last 7 days"),
        Field(name="flights_7d", dtype=Int64, description="Departed and cancelled flights of the last 7 days"),
        Field(
            name="on_time_share_7d",
            dtype=Float64,
            description="Share of flights_7d that left less than 15 minutes late; a cancelled flight did not",
        ),
    ],
    source=batch_source("carrier_departures"),
    description="How the airline's departures run, at every UTC midnight with a flight in the last 7 days",
    owner=OWNER,
    tags=TAGS,
)

route_departures = FeatureView(
    name="route_departures",
    entities=[origin, carrier],
    ttl=TTL,
    schema=[
        Field(name="origin", dtype=String),
        Field(name="carrier", dtype=String),
        Field(name="dep_delay_mean_7d", dtype=Float64, description="Mean delay over the last 7 days"),
        Field(name="flights_7d", dtype=Int64, description="Departed and cancelled flights of the last 7 days"),
        Field(name="cancelled_7d", dtype=Int64, description="Cancelled flights of the last 7 days"),
    ],
    source=batch_source("route_departures"),
    description="How the airline's departures from the airport run, at every UTC midnight with one in the last 7 days",
    owner=OWNER,
    tags=TAGS,
)

flight_number_history = FeatureView(
    name="flight_number_history",
    entities=[flight_number],
    ttl=TTL,
    schema=[
        Field(name="flight", dtype=Int64),
        Field(name="flights_30d", dtype=Int64, description="Departed and cancelled flights of the last 30 days"),
        Field(name="dep_delay_mean_30d", dtype=Float64, description="Mean delay over the last 30 days"),
        Field(name="last_tailnum", dtype=String, description="Aircraft of the last flight; null where not recorded"),
        Field(name="last_dest", dtype=String, description="Destination of the last flight"),
    ],
    source=batch_source("flight_number_history"),
    description="The recent past of a flight number, at every UTC midnight with a flight in the last 30 days",
    owner=OWNER,
    tags=TAGS,
)


@on_demand_feature_view(  # type: ignore[untyped-decorator]  # feast has no types
    sources=[
        origin_weather[["wind_gust", "precip", "visib"]],
        origin_departures[["dep_delay_mean_1h"]],
    ],
    # No description on the field: `feast apply` infers the field, without one, and wants an equal one here.
    schema=[Field(name="weather_risk", dtype=Float64)],
    mode="python",
    description="How much the weather, and the delay already there, threaten a departure: 0 (not at all) to 4",
    owner=OWNER,
    tags=TAGS,
)
def weather_risk(inputs: dict[str, Any]) -> dict[str, Any]:
    """Add up to 1 each for gusts (full at 50 mph), rain (0.5 inch), poor sight (0 of 10 miles) and delay (60 minutes).
    What is unknown, null or NaN, adds nothing. Feast keeps this source text alone, so it needs nothing around it."""

    def share(value: float | None, full: float) -> float:
        return min(max(value / full, 0.0), 1.0) if value is not None and value == value else 0.0

    return {
        "weather_risk": [
            share(gust, 50.0)
            + share(rain, 0.5)
            + share(None if sight is None else 10.0 - sight, 10.0)
            + share(delay, 60.0)
            for gust, rain, sight, delay in zip(
                inputs["wind_gust"], inputs["precip"], inputs["visib"], inputs["dep_delay_mean_1h"], strict=True
            )
        ]
    }


departure_delay_v1 = FeatureService(
    name="departure_delay_v1",
    # Views share names such as flights_7d. These choices don't, so the service answers with bare feature names.
    features=[
        origin_weather,
        origin_departures,
        carrier_departures[["on_time_share_7d"]],
        route_departures,
        weather_risk,
    ],
    description="Will a flight of this airline from this airport leave late?",
    owner=OWNER,
    tags=TAGS,
)

departure_delay_wide_v1 = FeatureService(
    name="departure_delay_wide_v1",
    features=[origin_weather, origin_departures, carrier_departures, route_departures, weather_risk],
    description="departure_delay_v1 with every feature of its views: ask with full_feature_names=true",
    owner=OWNER,
    tags=TAGS,
)

flight_v1 = FeatureService(
    name="flight_v1",
    features=[flight_number_history],
    description="What a flight number did lately",
    owner=OWNER,
    tags=TAGS,
)
