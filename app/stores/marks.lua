-- What writers leave beside a view's data (app/stores/redis_marks.py): in a hash of the project, under the view's name,
-- "<newest event> <last write> <rows>". Times are microseconds since 1970, which a double holds exactly. They are kept
-- as the texts that came: Lua would print them rounded.
--
-- Nothing here may fail the write of the rows, which has been done: hence pcall.
local function keep_mark(key, view, newest, now, rows)
  local last, kept = now, redis.pcall('HGET', key, view)
  if type(kept) == 'string' then
    local old_newest, old_last, old_rows = string.match(kept, '^(-?%d+) (-?%d+) (%d+)$')
    if old_newest then
      if tonumber(old_newest) > tonumber(newest) then newest = old_newest end
      if old_last == now then
        -- One write that takes several scripts.
        rows = rows + tonumber(old_rows)
      elseif tonumber(old_last) > tonumber(now) then
        last, rows = old_last, old_rows
      end
    end
  end
  redis.pcall('HSET', key, view, newest .. ' ' .. last .. ' ' .. rows)
end
