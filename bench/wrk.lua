--- The load generator's script: wrk -s bench/wrk.lua URL -- DEPTH PATH…
--- Sends DEPTH requests in one write, going round the paths; the text is made once, so that wrk runs next to no Lua per request. A path may be
--- followed by fields, as in "/x|Range: bytes=0-9"; "#100 /x/%d" stands for a hundred of them, which are gone round one by one.
--- At the end, one line of numbers for bench/lib/load.lua.
function init(args)
    local depth, paths = tonumber(args[1]), { unpack(args, 2) }
    local format = wrk.format
    local function one(path)
        local target, lines = path:match("^([^|]*)|?(.*)$")
        local fields = {}
        for name, value in lines:gmatch("([^:|]+): ([^|]*)") do fields[name] = value end
        return format("GET", target, fields)
    end
    local count, pattern = paths[1]:match("^#(%d+) (.*)$")
    local texts = {}
    for at = 1, count or depth do texts[at] = one(count and pattern:format(at) or paths[(at - 1) % #paths + 1]) end
    if count then
        local at = 0
        function request() -- only a function of this name is asked for every request
            at = at % #texts + 1
            return texts[at]
        end
        return
    end
    local text = table.concat(texts)
    wrk.format = function() return text end
end

function done(summary, latency)
    local errors = summary.errors
    io.write(("\nresult requests=%d us=%d p50=%d p99=%d errors=%d\n"):format(summary.requests, summary.duration,
        latency:percentile(50), latency:percentile(99), errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
