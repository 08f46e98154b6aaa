--- A real instance whose site is written anew and reloaded. `local r = reloads.start(text)`, `r:write(text)`, `r:reload()`; flags are files that
--- handlers wait for: `flag "name"` in the site, `r:raise "name"` in the spec.
local instance = require "t.support.instance"
local process = require "t.support.process"
local server = require "t.support.server"
local wire = require "t.support.wire"

local M = {}
local Reloads = {}
Reloads.__index = Reloads

--- What every site begins with: `flag(name)` waits until the spec raises it, `note(text)` leaves a line that the spec can read.
local HEAD = [==[
local mg = require "moongate"
local app = mg.app()
local function flag(name)
    for _ = 1, 20000 do
        local file = io.open("@FOLDER@/" .. name)
        if file then file:close() return true end
        mg.sleep("1ms")
    end
    error("the flag " .. name .. " was never raised")
end
local function note(text)
    local file = assert(io.open("@FOLDER@/notes", "a"))
    file:write(text, "\n")
    file:close()
end
]==]

--- For `before_each` and `after_each`.
function M.begin()
    instance.begin()
    server.binary = instance.real
end
M.sweep = instance.sweep

--- Serves a site: the body of a file, which ends without its return. `options` as server.start takes them; `returns`: what it returns.
function M.start(text, options)
    options = options or {}
    local self = setmetatable({ folder = server.folder { notes = "" }, returns = options.returns }, Reloads)
    self.file = self.folder .. "/site.lua"
    self:write(text)
    options.file, options.workers = self.file, options.workers or 1
    self.server = instance.start("", options)
    return self
end

function Reloads:write(text, returns)
    self:write_raw(HEAD:gsub("@FOLDER@", (self.folder:gsub("%%", "%%%%"))) .. text .. "\nreturn " .. (returns or self.returns or "app") .. "\n")
end

function Reloads:write_raw(text, name) process.write_file(self.folder .. "/" .. (name or "site.lua"), text) end

--- `moongate reload`: exit code, standard output, standard error.
function Reloads:try() return instance.run({ "reload", "--name", self.server.name }, 20) end

--- Reloads, with a new text when there is one, and checks that it succeeded.
function Reloads:reload(text, returns)
    if text then self:write(text, returns) end
    local code, out, err = self:try()
    if code ~= 0 then error(("reload failed (%s): %s%s\n%s"):format(code, out, err, self.server:log()), 2) end
    return out
end

function Reloads:raise(name) process.write_file(self.folder .. "/" .. name, "") end

function Reloads:get(path) return self.server:get(path) end

--- The lines noted so far.
function Reloads:notes()
    local lines = {}
    for line in process.read_file(self.folder .. "/notes"):gmatch("[^\n]+") do lines[#lines + 1] = line end
    return lines
end

--- Waits until a line was noted.
function Reloads:wait_note(line) instance.wait_file(self.folder .. "/notes", "%f[^\n%z]" .. line:gsub("%p", "%%%0") .. "\n", 10) end

--- What `moongate generations --json` says of the first worker: rows of the generations that are alive.
function Reloads:generations()
    local code, out, err = instance.run { "generations", "--json", "--name", self.server.name }
    assert(code == 0, err)
    return require "cjson".decode(out)[1].answer
end

--- Waits until one generation alone is alive.
function Reloads:wait_alone()
    instance.wait_until(function() return #self:generations() == 1 end, 10)
end

--- Asks for a reload without waiting: a function that gives its answer once it is over, nil before; told to wait, it waits.
---@return fun(wait?: boolean): string?
function Reloads:ask_reload()
    local client = wire.connect("unix:" .. instance.runtime() .. "/" .. self.server.name .. ".sock", nil, { seconds = 20 })
    client:send("reload\n")
    local parts = {}
    return function(wait)
        if wait then
            parts[#parts + 1] = client:read_to_end()
        else
            local data, why, partial = client.socket:receive(65536)
            parts[#parts + 1] = data or partial
            if why ~= "closed" then return nil end
        end
        client:close()
        return table.concat(parts)
    end
end

return M
