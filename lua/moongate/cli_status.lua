--- The second half of `moongate status`: what each worker says of its Lua. In: their answers (vitals.lua); out: a table below the master's.
local json = require "moongate.json"

local M = {}

local MIB = 2 ^ 20

local function row(one)
    local a = one.answer
    if type(a) ~= "table" or a.error then return ("%-7d has not answered"):format(one.worker) end
    return ("%-7d %8.1f %8.1f %8d %8d %8d %8d %8d %8.1f"):format(one.worker, a.lua_bytes / MIB, a.resident_bytes / MIB, a.tasks, a.waits, a.running_count,
        a.jit.traces, a.jit.aborts, a.jit.code_bytes / 1024)
end

--- What is printed.
---@param answers { worker: integer, answer: table? }[]
---@return string
function M.text(answers)
    local lines = { "",
        ("%-7s %8s %8s %8s %8s %8s %8s %8s %8s"):format("worker", "lua MiB", "rss MiB", "tasks", "waits", "running", "traces", "aborts", "code KiB") }
    for _, one in ipairs(answers) do lines[#lines + 1] = row(one) end
    return table.concat(lines, "\n") .. "\n"
end

---@param options { answer: string }
---@param out? file* standard output
---@return integer exit_code
function M.run(options, out)
    local stream = out or io.stdout
    stream:write(M.text(assert(json.decode(options.answer))))
    return 0
end

return M
