--- The load generator's script: wrk -s bench/wrk.lua URL -- DEPTH PATH…
--- Sends DEPTH requests in one write, going round the paths; the text is made once, so that wrk runs no Lua per request.
--- At the end, one line of numbers for bench/lib/load.lua.
function init(args)
    local depth, paths = tonumber(args[1]), { unpack(args, 2) }
    local one = wrk.format
    local texts = {}
    for at = 1, depth do texts[at] = one("GET", paths[(at - 1) % #paths + 1]) end
    local text = table.concat(texts)
    wrk.format = function() return text end
end

function done(summary, latency)
    local errors = summary.errors
    io.write(("\nresult requests=%d us=%d p50=%d p99=%d errors=%d\n"):format(summary.requests, summary.duration,
        latency:percentile(50), latency:percentile(99), errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
