-- Compare-and-set of feature rows, atomically, in Feast's own hash layout (rule 4).
--
-- KEYS[i]  the entity hash of row i; after those of the rows the hash of the marks, if a mark is to be kept
-- ARGV[1]  expiry of the hash in seconds, 0 for none
-- ARGV[2]  name of the event timestamp field, `_ts:<view>`
-- ARGV[3]  name of our clock field, `_fc:<view>`: the bytes of the event timestamp, then those of the created one
-- ARGV[4]  name of the view in the hash of the marks, '' where none is to be kept (see marks.lua, which comes before)
-- ARGV[5]  newest event timestamp of the rows, for the mark, in microseconds since 1970
-- ARGV[6]  the writer's clock, likewise
-- then the names of the n feature fields
-- then n + 2 columns: event timestamps, created timestamps (an empty one is none), and the values of each feature. A
-- column is the lengths of its cells, one per row, as little-endian 32-bit integers, and then the cells themselves.
-- Returns for each row 1 applied, 0 late, 2 duplicate.
--
-- Timestamps are serialized protobuf Timestamps. They are compared as (seconds, nanos) pairs, because a double cannot
-- hold nanoseconds since 1970. A clock field counts only while its event part equals `_ts:<view>`: stock Feast writes
-- the one and not the other.

local byte_at, sub = string.byte, string.sub

local function varint(bytes, at)
  local value, scale, count = 0, 1, 0
  while true do
    local byte = byte_at(bytes, at)
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

-- Seconds, nanos and the position after the message that begins with `bytes`.
local function timestamp(bytes)
  local tag, a, b, c, d, e, nanos_tag, v, w, x, y, z = byte_at(bytes, 1, 12)
  -- What nearly all times look like, from 1978 to 3058 and with nanos that take four or five bytes: no loop over bytes.
  if tag == 8 and nanos_tag == 16 and a > 127 and b > 127 and c > 127 and d > 127 and e < 128
      and y and v > 127 and w > 127 and x > 127 then
    local seconds = a + b * 128 + c * 16384 + d * 2097152 + e * 268435456 - 270549120
    local nanos = v + w * 128 + x * 16384 + y * 2097152 - 2113664
    if y < 128 then return seconds, nanos, 12 end
    if z and z < 16 then return seconds, nanos + z * 268435456 - 268435456, 13 end
  end
  local seconds, nanos, at = 0, 0, 1
  if tag == 8 then seconds, at = varint(bytes, 2) end
  if byte_at(bytes, at) == 16 then nanos, at = varint(bytes, at + 1) end
  return seconds, nanos, at
end

local function compare(a, b)
  if a == b then return 0 end
  local a_seconds, a_nanos = timestamp(a)
  local b_seconds, b_nanos = timestamp(b)
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
  local _, _, after = timestamp(clock)
  if sub(clock, 1, after - 1) ~= event then return '' end
  return sub(clock, after)
end

local marked = ARGV[4] ~= ''
local rows = marked and #KEYS - 1 or #KEYS
local features = (#ARGV - 8) / 2

local format = '<' .. string.rep('I4', rows)

local function column(packed)
  local lengths = {struct.unpack(format, packed)}
  local cells, at = {}, rows * 4 + 1
  for i = 1, rows do
    local after = at + lengths[i]
    cells[i] = sub(packed, at, after - 1)
    at = after
  end
  return cells
end

local fields, columns = {}, {}
for j = 1, features do
  fields[j] = ARGV[6 + j]
  columns[j] = column(ARGV[8 + features + j])
end

local function same(key, row)
  local current = redis.call('HMGET', key, unpack(fields))
  for j = 1, features do
    if current[j] ~= columns[j][row] then return false end
  end
  return true
end

local function decide(key, row, event, created)
  local current = redis.call('HGET', key, ARGV[2])
  if not current then return 1 end
  local order = compare(event, current)
  if order == 0 then order = compare_created(created, stored_created(redis.call('HGET', key, ARGV[3]), current)) end
  if order ~= 0 then return order > 0 and 1 or 0 end
  return features > 0 and not same(key, row) and 1 or 2
end

local expiry = tonumber(ARGV[1])
local events, all_created = column(ARGV[7 + features]), column(ARGV[8 + features])
-- What HSET takes: the names stay, the values change from row to row.
local cells = {ARGV[2], '', ARGV[3], ''}
for j = 1, features do cells[3 + 2 * j] = fields[j] end
local outcomes, applied = {}, 0
for i = 1, rows do
  local key = KEYS[i]
  local event, created = events[i], all_created[i]
  local outcome = decide(key, i, event, created)
  if outcome == 1 then
    cells[2], cells[4] = event, event .. created
    for j = 1, features do cells[4 + 2 * j] = columns[j][i] end
    redis.call('HSET', key, unpack(cells))
    applied = applied + 1
  end
  if outcome > 0 and expiry > 0 then redis.call('EXPIRE', key, expiry) end
  outcomes[i] = outcome
end
if marked and applied > 0 then keep_mark(KEYS[rows + 1], ARGV[4], ARGV[5], ARGV[6], applied) end
return outcomes
