-- One row per UTC midnight t and carrier with a flight in the last 7 days. On time: left less than 15 minutes late;
-- a cancelled flight counts as a flight and is not on time. How the frames work: see origin_departures.sql.
WITH timeline AS (
    SELECT carrier, event_time AS instant, event_time, dep_delay, false AS is_row FROM flights
    UNION ALL
    SELECT carrier, instant, NULL, NULL, true FROM days CROSS JOIN (SELECT DISTINCT carrier FROM flights)
)
SELECT
    carrier,
    instant AS event_timestamp,
    avg(dep_delay) OVER last_24h AS dep_delay_mean_24h,
    avg(dep_delay) OVER last_7d AS dep_delay_mean_7d,
    count(event_time) OVER last_7d AS flights_7d,
    count(CASE WHEN dep_delay < 15 THEN 1 END) OVER last_7d / flights_7d AS on_time_share_7d
FROM timeline
WINDOW
    last_24h AS (
        PARTITION BY carrier ORDER BY instant
        RANGE BETWEEN (INTERVAL 24 HOUR - INTERVAL 1 MICROSECOND) PRECEDING AND CURRENT ROW
    ),
    last_7d AS (
        PARTITION BY carrier ORDER BY instant
        RANGE BETWEEN (INTERVAL 168 HOUR - INTERVAL 1 MICROSECOND) PRECEDING AND CURRENT ROW
    )
QUALIFY is_row AND flights_7d > 0
ORDER BY carrier, event_timestamp
