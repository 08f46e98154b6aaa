--- `moongate explain METHOD URL [-H FIELD]… [--file FILE | --name NAME] [--json]`: which route a request takes, and why. Of a file, the answer
--- is made here, in a worker that listens nowhere; of a running instance it comes from one of its workers. Exit code 0, or 1 with problems.
local json = require "moongate.json"

local M = {}

--- The words of the command line as a question.
---@param options { arguments: string[], fields?: string[] }
---@return moongate.Question
function M.question(options)
    local fields = {}
    for at, text in ipairs(options.fields or {}) do
        local name, value = text:match("^([^:]*):%s*(.-)%s*$")
        fields[at] = { name, value }
    end
    return { method = options.arguments[1], target = options.arguments[2], fields = fields }
end

--- Prints an answer.
---@param answer table of explain.answer
---@return integer exit_code
function M.show(answer, options, out)
    if answer.problem then
        io.stderr:write("moongate: explain: ", answer.problem, "\n")
        return 1
    end
    local text = options.json and json.encode(answer) .. "\n" or require("moongate.explain_text").text(answer)
    local stream = out or io.stdout
    stream:write(text)
    return 0
end

local function fail(message)
    io.stderr:write("moongate: ", message, "\n")
    return 1
end

--- The file's generation in a worker of our own.
local function explain_file(options, boot)
    local abi = require "moongate.abi"
    abi.attach(boot)
    local generation, await, loop = require "moongate.generation", require "moongate.await", require "moongate.loop"
    generation.begin(options)
    local first, message = generation.first(1, -1)
    if not first then
        if message:sub(-1) ~= "\n" then return fail(message) end
        io.stderr:write(message) -- problems, as they are
        return 1
    end
    generation.use(first)
    local code
    loop.run_until(await.spawn(function()
        local answer = require("moongate.explain").answer(first, M.question(options))
        code = M.show(answer, options)
    end))
    return code or fail("explain: a predicate failed")
end

--- What the workers of a running instance are asked.
---@return string
function M.question_text(options) return "explain " .. json.encode(M.question(options)) end

--- The first worker that has answered speaks for all: they serve the same.
local function explain_running(options)
    for _, one in ipairs(assert(json.decode(options.answer))) do
        if type(one.answer) == "table" then
            if one.answer.error then return fail("explain: " .. one.answer.error) end
            return M.show(one.answer, options)
        end
    end
    return fail("explain: no worker has answered in time")
end

---@param options table as the command line said them
---@param boot? userdata a worker, when a file is asked
---@return integer exit_code
function M.run(options, boot)
    if options.answer then return explain_running(options) end
    return explain_file(options, boot)
end

return M
