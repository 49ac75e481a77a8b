-- Compare-and-set of feature rows, atomically, in Feast's own hash layout (rule 4).
--
-- KEYS[i]  the entity hash of row i
-- ARGV[1]  expiry of the hash in seconds, 0 for none
-- ARGV[2]  name of the event timestamp field, `_ts:<view>`
-- ARGV[3]  name of our clock field, `_fc:<view>`: the bytes of the event timestamp, then those of the created one
-- then for each row: n, event timestamp, created timestamp (may be empty), n times field and value
-- Returns for each row 1 applied, 0 late, 2 duplicate.
--
-- Timestamps are serialized protobuf Timestamps. They are compared as (seconds, nanos) pairs, because a double cannot
-- hold nanoseconds since 1970. A clock field counts only while its event part equals `_ts:<view>`: stock Feast writes
-- the one and not the other.

local function varint(bytes, at)
  local value, scale, count = 0, 1, 0
  while true do
    local byte = string.byte(bytes, at)
    at = at + 1
    count = count + 1
    -- Seven groups of seven bits are exact in a double; a tenth byte means a negative number, of which they are enough.
    if count <= 7 then value = value + (byte % 128) * scale end
    scale = scale * 128
    if byte < 128 then break end
  end
  if count == 10 then value = value - 2 ^ 49 end
  return value, at
end

-- Seconds, nanos and the position after the message that begins at `at`.
local function timestamp(bytes, at)
  local seconds, nanos = 0, 0
  if string.byte(bytes, at) == 8 then seconds, at = varint(bytes, at + 1) end
  if string.byte(bytes, at) == 16 then nanos, at = varint(bytes, at + 1) end
  return seconds, nanos, at
end

local function compare(a, b)
  if a == b then return 0 end
  local a_seconds, a_nanos = timestamp(a, 1)
  local b_seconds, b_nanos = timestamp(b, 1)
  if a_seconds ~= b_seconds then return a_seconds < b_seconds and -1 or 1 end
  if a_nanos ~= b_nanos then return a_nanos < b_nanos and -1 or 1 end
  return 0
end

-- The same for created timestamps, where '' is none, which is older than any.
local function compare_created(a, b)
  if a == b then return 0 end
  if a == '' then return -1 end
  if b == '' then return 1 end
  return compare(a, b)
end

local function stored_created(clock, event)
  if not clock then return '' end
  local _, _, after = timestamp(clock, 1)
  if string.sub(clock, 1, after - 1) ~= event then return '' end
  return string.sub(clock, after)
end

local function decide(key, event, created, fields, values)
  local current = redis.call('HMGET', key, ARGV[2], ARGV[3], unpack(fields))
  if not current[1] then return 1 end
  local order = compare(event, current[1])
  if order == 0 then order = compare_created(created, stored_created(current[2], current[1])) end
  if order ~= 0 then return order > 0 and 1 or 0 end
  for i, value in ipairs(values) do
    if current[i + 2] ~= value then return 1 end
  end
  return 2
end

local expiry = tonumber(ARGV[1])
local outcomes = {}
local at = 4
for i, key in ipairs(KEYS) do
  local count, event, created = tonumber(ARGV[at]), ARGV[at + 1], ARGV[at + 2]
  local fields, values, pairs_ = {}, {}, {ARGV[2], event, ARGV[3], event .. created}
  at = at + 3
  for j = 1, count do
    fields[j], values[j] = ARGV[at], ARGV[at + 1]
    pairs_[#pairs_ + 1] = fields[j]
    pairs_[#pairs_ + 1] = values[j]
    at = at + 2
  end
  local outcome = decide(key, event, created, fields, values)
  if outcome == 1 then redis.call('HSET', key, unpack(pairs_)) end
  if outcome > 0 and expiry > 0 then redis.call('EXPIRE', key, expiry) end
  outcomes[i] = outcome
end
return outcomes
