-- One row per UTC midnight t and flight number with a flight in the last 30 days, whichever carrier flew it.
-- The last flight is the one with the newest event_time; then the newest scheduled, and the greatest carrier, origin
-- and dest. Its tail number is null where the source has none (most cancelled flights), not an older flight's.
WITH timeline AS (
    SELECT flight, event_time AS instant, event_time, dep_delay, false AS is_row FROM flights
    UNION ALL
    SELECT flight, instant, NULL, NULL, true FROM days CROSS JOIN (SELECT DISTINCT flight FROM flights)
),
counted AS (
    SELECT
        flight,
        instant AS event_timestamp,
        count(event_time) OVER last_30d AS flights_30d,
        avg(dep_delay) OVER last_30d AS dep_delay_mean_30d
    FROM timeline
    WINDOW last_30d AS (
        PARTITION BY flight ORDER BY instant
        RANGE BETWEEN (INTERVAL 720 HOUR - INTERVAL 1 MICROSECOND) PRECEDING AND CURRENT ROW
    )
    QUALIFY is_row AND flights_30d > 0
),
-- ASOF picks any one of equal times, so only one flight per number and instant is left for it.
latest AS (
    SELECT flight, event_time, tailnum, dest
    FROM flights
    QUALIFY row_number() OVER (
        PARTITION BY flight, event_time ORDER BY scheduled DESC, carrier DESC, origin DESC, dest DESC
    ) = 1
)
SELECT
    counted.flight,
    event_timestamp,
    flights_30d,
    dep_delay_mean_30d,
    tailnum AS last_tailnum,
    dest AS last_dest
FROM counted
ASOF JOIN latest ON counted.flight = latest.flight AND counted.event_timestamp >= latest.event_time
ORDER BY counted.flight, event_timestamp
