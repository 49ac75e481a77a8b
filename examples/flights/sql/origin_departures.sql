-- One row per origin and UTC hour t, over the flights with t - w < event_time <= t. Flights and hours lie on one
-- timeline per origin; a frame reaches back from an hour and, as RANGE frames do, includes events at that very instant.
-- Frames are closed at both ends, hence one microsecond short of w.
WITH timeline AS (
    SELECT origin, event_time AS instant, event_time, dep_delay, cancelled, false AS is_row FROM flights
    UNION ALL
    SELECT origin, instant, NULL, NULL, NULL, true FROM hours CROSS JOIN (SELECT DISTINCT origin FROM flights)
)
SELECT
    origin,
    instant AS event_timestamp,
    avg(dep_delay) OVER last_1h AS dep_delay_mean_1h,
    avg(dep_delay) OVER last_6h AS dep_delay_mean_6h,
    avg(dep_delay) OVER last_24h AS dep_delay_mean_24h,
    count(event_time) OVER last_24h AS flights_24h,
    count(CASE WHEN cancelled THEN 1 END) OVER last_24h AS cancelled_24h
FROM timeline
WINDOW
    last_1h AS (
        PARTITION BY origin ORDER BY instant
        RANGE BETWEEN (INTERVAL 1 HOUR - INTERVAL 1 MICROSECOND) PRECEDING AND CURRENT ROW
    ),
    last_6h AS (
        PARTITION BY origin ORDER BY instant
        RANGE BETWEEN (INTERVAL 6 HOUR - INTERVAL 1 MICROSECOND) PRECEDING AND CURRENT ROW
    ),
    last_24h AS (
        PARTITION BY origin ORDER BY instant
        RANGE BETWEEN (INTERVAL 24 HOUR - INTERVAL 1 MICROSECOND) PRECEDING AND CURRENT ROW
    )
QUALIFY is_row
ORDER BY origin, event_timestamp
