--- What `require "moongate"` returns: the words a site is written in.
local app = require "moongate.app"
local abi = require "moongate.abi"
local answers = require "moongate.answers"
local caller = require "moongate.caller"
local crypto = require "moongate.crypto"
local descriptor = require "moongate.descriptor"
local fetch = require "moongate.fetch"
local ghost = require "moongate.ghost"
local json = require "moongate.json"
local names = require "moongate.names"
local request = require "moongate.request"
local response = require "moongate.response"
local sync = require "moongate.sync"
local tasks = require "moongate.tasks"
local upstream = require "moongate.upstream"

--- What begins a task keeps the running request's object from being used for another request.
local function sharing(fn)
    return function(...)
        request.share()
        return fn(...)
    end
end

local mg = {
    app = app.new,
    upstream = upstream.new,
    extend_request = app.extend_request,

    -- answers
    text = answers.text, html = answers.html, json = answers.json, redirect = answers.redirect, file = answers.file,
    stream = answers.stream, sse = answers.sse, respond = answers.respond,
    proxy = descriptor.proxy, split = require("moongate.split").new,

    -- other servers
    fetch = fetch.fetch,

    -- waiting
    sleep = tasks.sleep, spawn = sharing(tasks.spawn), all = sharing(tasks.all), any = sharing(tasks.any), race = sharing(tasks.race),
    timeout = sharing(tasks.timeout), after = sharing(tasks.after), every = sharing(tasks.every),

    channel = sync.channel, semaphore = sync.semaphore, mutex = sync.mutex, wait_group = sync.wait_group,

    -- shared by all workers
    shared = require("moongate.shared").shared,

    -- everyday
    re = require "moongate.re", lru = require("moongate.lru").lru,
    crypto = crypto, encode = crypto.encode, decode = crypto.decode,

    -- values
    array = json.array, null = json.null,
    escape = require("moongate.html").escape,
}

--- Ends the request with an error from anywhere: answered by the error handler of the status (or of `kind`).
---@param status integer|string a status, or a kind of your own
---@param message? string
function mg.raise(status, message)
    if type(status) == "string" then error({ kind = status, message = message }, 0) end
    if type(status) ~= "number" or status < 400 or status > 599 then
        error("mg.raise: expected a status from 400 to 599, or the name of a kind", 2)
    end
    error({ status = status, message = message }, 0)
end

--- Seconds of a monotonic clock, as of this turn.
function mg.now()
    return abi.worker and abi.C.mg_now(abi.worker) / 1000 or os.clock()
end

--- Seconds since 1970, with fraction.
function mg.time()
    return abi.worker and abi.C.mg_unix_time(abi.worker) or os.time()
end

local LEVELS = { debug = 0, info = 1, warn = 2, error = 3 }

--- Writes a line to the error log: `mg.log("text")` or `mg.log("warn", "text", value…)`. Values are joined by spaces.
function mg.log(level, ...)
    local number, text = LEVELS[level], nil
    if number and select("#", ...) > 0 then
        text = ...
        for at = 2, select("#", ...) do text = tostring(text) .. " " .. tostring((select(at, ...))) end
    else
        number, text = 1, level
        for at = 1, select("#", ...) do text = tostring(text) .. " " .. tostring((select(at, ...))) end
    end
    text = tostring(text)
    local req = request.running()
    if req then text = ("request %s: %s"):format(req.id, text) end
    if abi.worker then response.log(number, text) else io.stderr:write(text, "\n") end
end

--- The number of this worker, from 1.
function mg.worker()
    return abi.border and abi.border.worker + 1 or 0
end

--- Names that are not there are told, and nothing is added: the library is one for all scripts.
return setmetatable(mg, {
    __index = function(_, name)
        if not caller.is_user(2) then return nil end
        local message, hint = names.missing("mg", name)
        caller.tell(message, hint, { about = name })
        return ghost.get()
    end,
    __newindex = function(_, name)
        local message, hint = names.unsettable("mg", tostring(name))
        caller.tell(message, hint, { about = name })
    end,
})
