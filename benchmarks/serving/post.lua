-- a rotating set of real bodies, one a line in $BODIES, posted to $WHERE with $KEY
local requests, n, i = {}, 0, 0
function init(args)
  local headers = {["Content-Type"] = "application/json"}
  if os.getenv("KEY") ~= "" then headers["Authorization"] = "Bearer " .. os.getenv("KEY") end
  for line in io.lines(os.getenv("BODIES")) do
    n = n + 1
    requests[n] = wrk.format("POST", os.getenv("WHERE"), headers, line)
  end
end
function request()
  i = i + 1
  if i > n then i = 1 end
  return requests[i]
end
function done(summary, latency, _)
  local failed = summary.errors
  io.write(string.format('JSON {"requests":%d,"duration_us":%d,"failed":%d,"p50_us":%.1f,"p99_us":%.1f}\n',
    summary.requests, summary.duration, failed.connect + failed.read + failed.write + failed.status + failed.timeout,
    latency:percentile(50), latency:percentile(99)))
end
