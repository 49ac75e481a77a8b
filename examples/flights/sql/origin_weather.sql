-- The hourly observations as they are, each at its UTC hour. Hours that were not observed have no row.
SELECT
    origin,
    time_hour AS event_timestamp,
    temp,
    dewp,
    humid,
    wind_speed,
    wind_gust,
    precip,
    pressure,
    visib
FROM source_weather
ORDER BY origin, event_timestamp
