-- Sends the requests of a file in turn, each with an event timestamp that is a microsecond later than the one before;
-- the file is described in templates.py. Arguments: the file, and the first moment in microseconds since 1970.

-- For what it prints at the end.
dofile(debug.getinfo(1, "S").source:match("^@(.*)pushing/") .. "wrk.lua")

local ready = {}
local turn = 0
local moment = 0
local form

function init(args)
  local file = assert(io.open(args[1], "rb"))
  form = file:read("*l")
  moment = tonumber(args[2])
  for line in function() return file:read("*l") end do
    -- Pieces at the odd places, moments at the even ones.
    local parts = {}
    for length in line:gmatch("%d+") do
      if #parts > 0 then parts[#parts + 1] = "" end
      parts[#parts + 1] = length == "0" and "" or file:read(tonumber(length))
    end
    ready[#ready + 1] = parts
  end
  file:close()
end

local function int64(number)
  local bytes = {}
  for at = 1, 8 do
    bytes[at] = number % 256
    number = math.floor(number / 256)
  end
  return string.char(unpack(bytes))
end

local function text(number)
  local seconds = math.floor(number / 1e6)
  return os.date("!%Y-%m-%dT%H:%M:%S", seconds) .. string.format(".%06dZ", number - seconds * 1e6)
end

function request()
  turn = turn % #ready + 1
  local parts = ready[turn]
  local shown = form == "int64" and int64(moment) or text(moment)
  moment = moment + 1
  for at = 2, #parts, 2 do parts[at] = shown end
  return table.concat(parts)
end
