--- `moongate check FILE [--json]`: everything that a reload checks. Exit code 0, or 1 with every problem told.
local evaluate = require "moongate.evaluate"
local json = require "moongate.json"
local text = require "moongate.cli_text"

local M = {}

--- What a sound configuration amounts to, in one line.
local function summary(file, evaluation)
    local config, apps = evaluation.config, evaluation.apps
    return ("%s: ok: %s, %s, %s; listens on %s\n"):format(file, text.counted(#evaluation.files, "file"),
        text.counted(#apps.routes, "route"), text.counted(#apps.filters, "filter"), table.concat(config.listen, ", "))
end

local function as_json(evaluation)
    local problems = evaluation.problems:rows()
    return json.encode { ok = #problems == 0, problems = json.array(problems), files = json.array(evaluation.files) } .. "\n"
end

--- Problems go to standard error for people; with `json` the answer, good or bad, goes to standard output.
---@param options { file?: string, json?: boolean }
---@param out? file* standard output
---@param err? file* standard error
---@return integer exit_code
function M.run(options, out, err)
    local evaluation = evaluate.command(options)
    local failed = #evaluation.problems > 0
    if options.json then
        (out or io.stdout):write(as_json(evaluation))
    elseif failed then
        (err or io.stderr):write(evaluation.problems:text(), text.counted(#evaluation.problems, "problem"), "\n")
    else
        (out or io.stdout):write(summary(options.file or "conf/moongate.lua", evaluation))
    end
    return failed and 1 or 0
end

return M
