-- Sends the requests of a file in turn and prints one line of JSON at the end.
-- Every request is made ready before the clock starts, so that the generator costs the servers as little as can be.
-- A line of the file: method, path and body, with tabs between them.

local ready = {}
local turn = 0

function init(args)
  for line in io.lines(args[1]) do
    local method, path, body = line:match("^([^\t]*)\t([^\t]*)\t(.*)$")
    local headers = {}
    if body == "" then
      body = nil
    else
      headers["Content-Type"] = "application/json"
    end
    ready[#ready + 1] = wrk.format(method, path, headers, body)
  end
end

function request()
  turn = turn % #ready + 1
  return ready[turn]
end

-- wrk counts a status of 400 and above as an error; the servers' first answers are checked to be 200 before.
function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    '\n{"requests": %d, "seconds": %.6f, "statuses": %d, "sockets": %d, "p50_us": %d, "p99_us": %d}\n',
    summary.requests, summary.duration / 1e6, errors.status,
    errors.connect + errors.read + errors.write + errors.timeout,
    latency:percentile(50), latency:percentile(99)))
end
