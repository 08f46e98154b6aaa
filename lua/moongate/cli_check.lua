--- `moongate check FILE [--json]`: everything that a reload checks. Exit code 0, or 1 with every problem told.
local abi = require "moongate.abi"
local evaluate = require "moongate.evaluate"
local json = require "moongate.json"
local judge = require "moongate.judge"
local text = require "moongate.cli_text"

local M = {}

--- What a sound configuration amounts to, in one line.
local function summary(file, evaluation)
    local config, apps = evaluation.config, evaluation.apps
    local counts = { text.counted(#evaluation.files, "file"), text.counted(#apps.routes, "route"), text.counted(#apps.filters, "filter") }
    local warnings = evaluation.problems:count("warning")
    if warnings > 0 then counts[#counts + 1] = text.counted(warnings, "warning") end
    return ("%s: ok: %s; listens on %s\n"):format(file, table.concat(counts, ", "), table.concat(config.listen, ", "))
end

--- "3 problems", "1 problem, 2 warnings".
local function total(problems)
    local counts = { text.counted(problems:count(), "problem") }
    if problems:count("warning") > 0 then counts[2] = text.counted(problems:count("warning"), "warning") end
    return table.concat(counts, ", ") .. "\n"
end

--- Problems go to standard error for people. With `json` they go to standard output, for editors: a list, empty when all is well, of
--- { file, line, column, end_column, key, severity, message, hint }, of which only file, severity and message are always there.
---@param options { file?: string, json?: boolean }
---@param out? file* standard output
---@param err? file* standard error
---@return integer exit_code
function M.run(options, out, err)
    judge.resolve = abi.unknown_host
    local evaluation = evaluate.command(options)
    local problems = evaluation.problems
    local failed = evaluation.config == nil
    out, err = out or io.stdout, err or io.stderr
    if options.json then
        out:write(json.encode(json.array(problems:rows())), "\n")
        return failed and 1 or 0
    end
    err:write(problems:text())
    if failed then
        err:write(total(problems))
    else
        out:write(summary(options.file or "conf/moongate.lua", evaluation))
    end
    return failed and 1 or 0
end

return M
