--- Reloads under full load: what 64 keep-alive clients notice of them.
local process = require "t.support.process"
local servers = require "bench.lib.servers"
local steady = require "t.support.steady"

local M = {}

local CLIENTS, PAUSE = 64, 0.05 -- seconds between two reloads

local function rest(seconds) require("socket").select(nil, nil, seconds) end

local function line(what, counts, seconds)
    return ("%-26s %9.0f %9d %9d %9d %9d %9.0f %9.0f"):format(what, counts.answers / seconds, counts.errors, counts.closed + counts.silent,
        counts.refused, counts.odd, counts.p50, counts.p99)
end

--- The load alone for as long as it took with reloads, and with them.
local function measure(server, count)
    local load = steady.start(tonumber(server.port), CLIENTS)
    local began = process.now()
    for _ = 1, count do
        server:reload()
        rest(PAUSE)
    end
    local took = process.now() - began
    local with = load:finish()
    rest(1) -- processes of before may still be ending
    load = steady.start(tonumber(server.port), CLIENTS)
    rest(took)
    return line(("%s, %d reloads"):format(server.name, count), with, took), line(server.name .. ", none", load:finish(), took)
end

--- Lines of a table for each server that is there.
---@param names string[]
---@param count integer reloads
---@return string[] lines
function M.lines(names, count)
    local lines = { ("%-26s %9s %9s %9s %9s %9s %9s %9s"):format("", "answers/s", "errors", "closed", "refused", "wrong", "p50 µs", "p99 µs") }
    for _, name in ipairs(names) do
        if servers.can_run(name, "reload") then
            local folder = process.folder()
            local file = process.write_file(folder .. "/site.lua", process.read_file("bench/apps/hello.lua"))
            local server = servers.start(name, { app = "reload", workers = 2, file = file })
            local ok, with, without = pcall(measure, server, count)
            server:stop()
            process.remove_folder(folder)
            if not ok then error(with, 0) end
            lines[#lines + 1], lines[#lines + 2] = without, with
        end
    end
    return lines
end

return M
