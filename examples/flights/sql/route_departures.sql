-- One row per UTC midnight t and (origin, carrier) with a flight in the last 7 days.
-- How the frames work: see origin_departures.sql.
WITH timeline AS (
    SELECT origin, carrier, event_time AS instant, event_time, dep_delay, cancelled, false AS is_row FROM flights
    UNION ALL
    SELECT origin, carrier, instant, NULL, NULL, NULL, true
    FROM days CROSS JOIN (SELECT DISTINCT origin, carrier FROM flights)
)
SELECT
    origin,
    carrier,
    instant AS event_timestamp,
    avg(dep_delay) OVER last_7d AS dep_delay_mean_7d,
    count(event_time) OVER last_7d AS flights_7d,
    count(CASE WHEN cancelled THEN 1 END) OVER last_7d AS cancelled_7d
FROM timeline
WINDOW last_7d AS (
    PARTITION BY origin, carrier ORDER BY instant
    RANGE BETWEEN (INTERVAL 168 HOUR - INTERVAL 1 MICROSECOND) PRECEDING AND CURRENT ROW
)
QUALIFY is_row AND flights_7d > 0
ORDER BY origin, carrier, event_timestamp
