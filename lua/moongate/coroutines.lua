--- The coroutine library as scripts see it: their coroutines may contain waits. A wait yields `await.WAIT` from
--- wherever it happens; the resume of a script's coroutine does not give that to the script but yields it on,
--- towards the scheduler, and later hands the scheduler's answer down again. In: the raw library; out: a table
--- like it.
local await = require "moongate.await"

local M = {}

local raw_create, raw_resume, raw_yield = coroutine.create, coroutine.resume, coroutine.yield
local raw_running, raw_status, raw_yieldable = coroutine.running, coroutine.status, coroutine.isyieldable

--- The scripts' own coroutines; the values: true while one waits. Others (dispatchers, tasks) are not theirs to
--- yield from.
local waiting = setmetatable({}, { __mode = "k" })

local WAIT, REFUSED, CANCELLED = await.WAIT, await.REFUSED, await.CANCELLED

local pass, pass_down

--- What came out of a coroutine: a wait goes on upwards, and down again with its answer, as often as there are waits.
function pass(co, ok, first, ...)
    if not ok then
        -- A cancelled task ends as a whole, however many coroutines it is inside of.
        if first ~= nil and first == CANCELLED then error(first, 0) end
        return false, M.explain(first)
    end
    if first ~= WAIT then return true, first, ... end
    if raw_yieldable and not raw_yieldable() then return pass(co, raw_resume(co, REFUSED)) end
    waiting[co] = true
    return pass_down(co, raw_yield(WAIT, ...))
end

function pass_down(co, ...)
    waiting[co] = false
    return pass(co, raw_resume(co, ...))
end

local function resume(co, ...)
    if waiting[co] == nil and type(co) == "thread" then
        return false, "cannot resume a coroutine that was not made by coroutine.create or wrap: the gateway runs it"
    end
    if waiting[co] then return false, "cannot resume a coroutine that is waiting (in a request or task that resumed it before)" end
    return pass(co, raw_resume(co, ...))
end

local function create(fn)
    if type(fn) ~= "function" then
        error("bad argument #1 to 'create' (function expected, got " .. type(fn) .. ")", 2)
    end
    local co = raw_create(fn)
    waiting[co] = false
    return co
end

--- The results of a resume as wrap() gives them: errors are raised as they are.
local function raise_failure(ok, ...)
    if ok then return ... end
    error((...), 0)
end

local function wrap(fn)
    if type(fn) ~= "function" then
        error("bad argument #1 to 'wrap' (function expected, got " .. type(fn) .. ")", 2)
    end
    local co = create(fn)
    return function(...) return raise_failure(resume(co, ...)) end
end

local function yield(...)
    local co = raw_running()
    if not co or waiting[co] == nil then
        error("coroutine.yield outside of a coroutine made by coroutine.create or wrap; to wait, call mg.sleep or the like", 2)
    end
    return raw_yield(...)
end

--- A waiting coroutine is active, although nothing of it runs: "normal", as one that has resumed another.
local function status(co)
    if waiting[co] then return "normal" end
    return raw_status(co)
end

local function isyieldable()
    local co = raw_running()
    return co ~= nil and waiting[co] ~= nil and (not raw_yieldable or raw_yieldable())
end

--- Turns the message of a wait inside a C function's callback into one that says what to do. Other values pass
--- as they are.
---@param failure any an error value
---@return any
function M.explain(failure)
    if type(failure) ~= "string" or not failure:find("attempt to yield across C-call boundary", 1, true) then return failure end
    return (failure:gsub("attempt to yield across C%-call boundary",
        "cannot wait inside a callback of a C function (table.sort, string.gsub, …); wait before it and use the result there"))
end

--- A table like `coroutine`, for the environment of scripts.
---@return table
function M.wrap_library()
    return {
        create = create, wrap = wrap, resume = resume, yield = yield, status = status, running = raw_running, isyieldable = isyieldable,
    }
end

return M
