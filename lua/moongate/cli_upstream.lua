--- `moongate upstream`: the servers of a running instance, and changes of them. In: the words of the command line, and what the workers
--- answered; out: what the instance is sent, and a table, a config, or what was done.
local json = require "moongate.json"
local text = require "moongate.cli_text"
local upstream_table = require "moongate.upstream_table"

local M = {}

local REFUSED = 1 -- exit code: the running instance refused the command

local DONE = {
    add = "takes part", remove = "is taken out", drain = "is drained: no new requests go there", down = "is down: nothing goes there",
    up = "takes part again", weight = "has its new weight",
}

--- The line that the master is sent.
---@param options { arguments: string[] }
---@return string
function M.question_text(options)
    local words = options.arguments
    if #words == 0 or words[1] == "list" then return "ask upstreams" end
    if words[1] == "config" then return "ask upstream_config" end
    return "upstream " .. table.concat(words, " ")
end

--- Upstreams of that name; nil and a message when there is none.
local function named(list, name)
    if not name then return list end
    local found, names = json.array {}, {}
    for _, one in ipairs(list) do
        names[#names + 1] = one.name
        if one.name == name then found[#found + 1] = one end
    end
    if #found > 0 then return found end
    return nil, ("no upstream is named %q%s"):format(name, #names > 0 and "; there are: " .. table.concat(names, ", ") or "")
end

local function refuse(message)
    io.stderr:write("moongate: upstream: ", message, "\n")
    return REFUSED
end

local function show_list(answers, options, stream)
    local list, message = named(upstream_table.merge(answers), options.arguments[2])
    if not list then return refuse(message) end
    if options.json then
        stream:write(json.encode(list), "\n")
    elseif #list == 0 then
        stream:write("no upstream is in use\n")
    else
        stream:write(table.concat(upstream_table.lines(list), "\n"), "\n")
    end
    return 0
end

local function show_config(answers, options, stream)
    for _, one in ipairs(answers) do
        if type(one.answer) == "table" and not one.answer.error then
            local list, message = named(one.answer, options.arguments[2])
            if not list then return refuse(message) end
            if options.json then
                stream:write(json.encode(list), "\n")
                return 0
            end
            for at, upstream in ipairs(list) do stream:write(at > 1 and "\n" or "", upstream.text) end
            return 0
        end
    end
    return refuse("no worker has answered")
end

local function show_change(answers, options, stream)
    local done = 0
    for _, one in ipairs(answers) do
        local answer = one.answer
        if type(answer) == "table" and answer.error then return refuse(answer.error) end
        if type(answer) == "table" then done = done + 1 end
    end
    if done == 0 then return refuse("no worker has answered") end
    local words = options.arguments
    if options.json then
        stream:write(json.encode { upstream = words[2], server = words[3], change = words[1], workers = done }, "\n")
    else
        stream:write(("upstream %q: %s %s (%s)\n"):format(words[2], words[3], DONE[words[1]] or "is changed", text.counted(done, "worker")))
    end
    return 0
end

--- Prints the answer of the running instance.
---@param options { answer: string, arguments: string[], json?: boolean }
---@param out? file* standard output
---@return integer exit_code
function M.run(options, out)
    local answers, stream, verb = assert(json.decode(options.answer)), out or io.stdout, options.arguments[1] or "list"
    if verb == "list" then return show_list(answers, options, stream) end
    if verb == "config" then return show_config(answers, options, stream) end
    return show_change(answers, options, stream)
end

return M
