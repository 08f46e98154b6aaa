--- Results as text: one table per row, with the ratio to the row's base and to Moongate.
local M = {}

local function find(results, label)
    for _, result in ipairs(results) do
        if result.label == label then return result end
    end
end

--- 1234567 as "1,234,567".
local function thousands(number)
    local text = ("%.0f"):format(number)
    return (text:reverse():gsub("(%d%d%d)", "%1,"):reverse():gsub("^,", ""))
end

local function ratio(value, base) return base and ("%.2f"):format(value / base) or "-" end

local function result_lines(one)
    local lines = { "                 requests/s  CPU µs/request    p50 µs    p99 µs"
        .. (" "):rep(12 - #one.base) .. "× " .. one.base .. "  ÷ moongate  server %  load %" }
    local base, ours = find(one.results, one.base), find(one.results, "moongate")
    local measure = one.rates and "rate" or "cpu_us"
    for _, r in ipairs(one.results) do
        lines[#lines + 1] = ("  %-12s %12s %15.3f %9.0f %9s %13s %11s %9.0f %7.0f%s"):format(r.label, thousands(r.rate), r.cpu_us, r.p50_us,
            r.p99_us > 0 and ("%.0f"):format(r.p99_us) or "-", ratio(r[measure], base and base[measure]), ratio(r[measure], ours and ours[measure]),
            r.server_share * 100, r.load_share * 100, r.errors > 0 and ("  %d ERRORS"):format(r.errors) or "")
    end
    return lines
end

--- One table of a row as text.
function M.show(one)
    local lines = { one.title }
    for _, line in ipairs(one.results and result_lines(one) or {}) do lines[#lines + 1] = line end
    for _, pair in ipairs(one.bytes or {}) do lines[#lines + 1] = ("  %-12s %8.0f bytes"):format(pair[1], pair[2]) end
    for _, line in ipairs(one.lines or {}) do lines[#lines + 1] = "  " .. line end
    for _, note in ipairs(one.notes or {}) do lines[#lines + 1] = "  (" .. note .. ")" end
    return table.concat(lines, "\n") .. "\n"
end

return M
