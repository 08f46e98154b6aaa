--- Errors as values: what one that was raised says of the answer, and an answer by the app's error handler that is returned instead.
local stacks = require "moongate.stack"

local M = {}

--- Statuses of the kinds that are the gateway's own.
M.CODES = {
    ["not-found"] = 404, ["method-not-allowed"] = 405, ["internal-error"] = 500,
    ["handler-time"] = 503, ["out-of-memory"] = 503, ["request-time"] = 503, ["too-many-tasks"] = 503,
}

---@class moongate.Failure
---@field status integer
---@field kind? string
---@field message? string
local Failure = {}
Failure.__index = Failure

---@param status integer
---@param kind? string
---@param message? string
---@return moongate.Failure
function M.new(status, kind, message)
    return setmetatable({ status = status, kind = kind, message = message }, Failure)
end

--- Is this such a value?
function M.is(value) return getmetatable(value) == Failure end

function M.is_error_status(status)
    return type(status) == "number" and status >= 400 and status <= 599 and status % 1 == 0
end

--- What an error value that was raised says: its status, kind and message.
function M.describe(value, stack)
    local status, err = 500, { value = value, raised = true }
    local is_answer = type(value) == "table" and (rawget(value, "status") ~= nil or rawget(value, "kind") ~= nil)
    if is_answer then
        err.kind, err.message = rawget(value, "kind"), rawget(value, "message")
        local given = rawget(value, "status")
        status = M.is_error_status(given) and given or M.CODES[err.kind] or 500
    end
    local text = is_answer and (rawget(value, "overrun") or stacks.answer(err.kind or value.status, err.message))
        or stacks.shown(value):gsub("^moongate%.%a+:%d+: ", "") -- after a tail call no line of the script is left to point at
    err.message = err.message or not is_answer and text or nil
    err.traceback = stack and stacks.clean(text .. "\n" .. stack) or text
    err.stack = stack
    return status, err
end

--- Whatever was raised as text, with where: for xpcall.
function M.traced(failure)
    local _, err = M.describe(failure, (debug.traceback("", 2):gsub("^\n", "")))
    return err.traceback
end

return M
