--- An output handler for busted: one JSON line per result, appended to the file that MG_REPORT names as it happens, so that a crash
--- leaves all results before it. Kinds: "begin", "success", "failure", "error", "pending", "end".
local json = require "cjson"

return function()
    local busted = require "busted"
    local handler = require "busted.outputHandlers.base"()
    local file = assert(io.open(assert(os.getenv("MG_REPORT"), "MG_REPORT names the file"), "a"))

    local function tell(kind, name, message, where)
        file:write(json.encode { kind = kind, name = name, message = message, where = where }, "\n")
        file:flush()
    end

    local function tell_last(kind, list)
        local result = list[#list]
        local message = result.message
        if message ~= nil and type(message) ~= "string" then message = require "pl.pretty".write(message) end
        local trace = result.trace or result.element.trace or {}
        local where = trace.short_src and ("%s:%d"):format(trace.short_src, trace.currentline or 0)
        tell(kind, result.name, message or "no message", where)
    end

    busted.subscribe({ "test", "start" }, function(element)
        tell("begin", handler.getFullName(element))
        return nil, true
    end)
    busted.subscribe({ "test", "end" }, function(element, _, status)
        if status == "success" then tell("success", handler.getFullName(element)) end
        if status == "pending" then tell("pending", handler.getFullName(element)) end
        if status == "failure" then tell_last("failure", handler.failures) end
        if status == "error" then tell_last("error", handler.errors) end
        return nil, true
    end)
    busted.subscribe({ "error" }, function(element)
        if element.descriptor ~= "it" then tell_last("error", handler.errors) end
        return nil, true
    end)
    busted.subscribe({ "failure" }, function(element) -- a failed assertion in a before_each, a setup, …
        if element.descriptor ~= "it" then tell_last("error", handler.errors) end
        return nil, true
    end)
    busted.subscribe({ "suite", "end" }, function()
        tell("end")
        return nil, true
    end)
    return handler
end
