--- `req:mirror(upstream)`: a copy of a request for another upstream, whose response nobody waits for. Bounded: beyond so many on their way in a
--- worker further ones are left out, and each has its time.
local abi = require "moongate.abi"
local await = require "moongate.await"
local fetch = require "moongate.fetch"

local M = {}

local C = abi.C
local MOST, TIMEOUT = 64, "10s"

local running = 0

--- Fields that are not for another connection, besides those that Connection names.
local HOPS = { connection = true, ["keep-alive"] = true, ["proxy-connection"] = true, te = true, trailer = true, upgrade = true, expect = true,
    ["transfer-encoding"] = true, ["content-length"] = true, ["proxy-authorization"] = true }

local function fields_of(req)
    local named, fields = {}, {}
    for _, value in ipairs(req:header_values("connection")) do
        for name in value:lower():gmatch("[^%s,]+") do named[name] = true end
    end
    for _, field in ipairs(req:header_list()) do
        local name = field[1]:lower()
        if not HOPS[name] and not named[name] then
            fields[name] = fields[name] or {}
            table.insert(fields[name], field[2])
        end
    end
    return fields
end

local function run(target, options)
    local res, message = fetch.fetch(target, options)
    if res then return res:close() end
    local text = "mirror: " .. tostring(message)
    C.mg_log(abi.worker, C.MG_LOG_DEBUG, text, #text)
end

local function ended() running = running - 1 end

--- Sends the copy. true; or nil, message, code: "busy", or why its content cannot be read.
---@param req table
---@param upstream moongate.Upstream|string|table
---@return true?
---@return string? message
---@return any code
function M.send(req, upstream)
    if running >= MOST then return nil, ("%d copies are on their way already"):format(MOST), "busy" end
    local text
    if req.content_length ~= 0 then
        local message, code
        text, message, code = req:text()
        if not text then return nil, message, code end
    end
    local options = { upstream = upstream, method = req.method, headers = fields_of(req), body = text, timeout = TIMEOUT, redirects = false }
    running = running + 1
    local task = await.spawn(run, req.target:sub(1, 1) == "/" and req.target or req.path, options)
    task.on_end, task.watched = ended, true
    return true
end

return M
