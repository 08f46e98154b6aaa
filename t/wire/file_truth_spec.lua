--- Writers and readers over many files: every body was at some moment the whole content of its file, and what is seen last is the last.
--- Both are processes of their own; the readers know from the body alone which file and which version it is of.
local socket = require "socket"
local process = require "t.support.process"
local server = require "t.support.server"

local FILES, SECONDS = 2000, 3

--- A content says whose it is, which version, and how long it ought to be; every line of it says so.
local CONTENT = [[
local M = {}
function M.content(file, version)
    local lines = {}
    local line = ("file %04d version %08d\n"):format(file, version)
    return line:rep(1 + (file * 7 + version * 13) % 400)
end
function M.check(file, body)
    if body == "" then return -1 end -- its writer has emptied it and was held up before it wrote: that was its content, then
    local name, version = body:match("^file (%d+) version (%d+)\n")
    assert(name and tonumber(name) == file, "not of this file: " .. body:sub(1, 60))
    assert(body == M.content(file, tonumber(version)), ("torn: %d bytes of file %d, version %s"):format(#body, file, version))
    return tonumber(version)
end
return M
]]

--- Changes files in every way that keeps them whole: by rename, in place in one write, by removing and making anew.
local WRITER = [[
package.path = arg[1] .. "/?.lua;" .. package.path
local content, folder, seconds, seed = require("content"), arg[2], tonumber(arg[3]), tonumber(arg[4])
local socket = require "socket"
math.randomseed(seed)
local versions, over = {}, socket.gettime() + seconds
local function write(path, text)
    local f = assert(io.open(path, "w"))
    f:setvbuf("full", 65536)
    f:write(text)
    f:close()
end
local count = 0
while socket.gettime() < over do
    local file = math.random(1, tonumber(arg[5])) * 2 - seed % 2
    versions[file] = (versions[file] or 0) + 1
    local path, text = ("%s/%d"):format(folder, file), content.content(file, versions[file])
    local way = math.random(1, 4)
    if way == 1 then
        os.remove(path)
        write(path .. ".new", text)
        os.rename(path .. ".new", path)
    elseif way == 2 then
        write(path, text)
    else
        write(path .. ".new", text)
        os.rename(path .. ".new", path)
    end
    count = count + 1
    socket.sleep(0.0005)
end
local out = assert(io.open(("%s/../last-%d"):format(folder, seed), "w"))
for file, version in pairs(versions) do out:write(file, " ", version, "\n") end
out:close()
io.write(count, "\n")
]]

describe("many files that are written and read at once", function()
    after_each(server.sweep)

    it("are never torn, and in the end are the last", function()
        local s = server.start {
            files = { ["content.lua"] = CONTENT, ["writer.lua"] = WRITER, ["public/keep"] = "" },
            script = [[
                local app = require "moongate".app()
                app:files("/*", "public")
                return { app = app, limits = { cache = "4m" } }]],
            workers = 2,
        }
        local content = assert(loadstring(CONTENT))()
        local public = s.folder .. "/public"
        for file = 1, FILES do process.write_file(("%s/%d"):format(public, file), content.content(file, 0)) end
        local writers = {}
        for seed = 1, 2 do
            writers[seed] = process.spawn { "luajit", s.folder .. "/writer.lua", s.folder, public, tostring(SECONDS), tostring(seed), tostring(FILES / 2),
                stdout = s.folder .. "/out-" .. seed, stderr = s.folder .. "/out-" .. seed }
        end
        local clients, newest, reads, missing, empty, over = {}, {}, 0, 0, 0, socket.gettime() + SECONDS + 0.2
        for at = 1, 8 do clients[at] = s:connect() end
        while socket.gettime() < over do
            for _, c in ipairs(clients) do
                local batch = {}
                for at = 1, 8 do batch[at] = math.random(1, FILES) end
                local targets = {}
                for at, file in ipairs(batch) do targets[at] = "/" .. file end
                for at, answer in ipairs(c:pipeline(targets)) do
                    if answer.status == 404 then
                        missing = missing + 1
                    else
                        assert.equal(200, answer.status)
                        empty = empty + (content.check(batch[at], answer.body) < 0 and 1 or 0)
                        reads = reads + 1
                    end
                end
            end
        end
        for seed = 1, 2 do assert.equal(0, select(2, writers[seed]:wait(10)), process.read_file(s.folder .. "/out-" .. seed)) end
        assert.is_true(reads > 500 and missing + empty < reads / 10, ("%d read, %d missing, %d empty"):format(reads, missing, empty))
        if os.getenv("VERBOSE") then print(reads, missing, empty) end
        for seed = 1, 2 do
            for file, version in process.read_file(s.folder .. "/last-" .. seed):gmatch("(%d+) (%d+)\n") do newest[tonumber(file)] = tonumber(version) end
        end
        socket.sleep(0.02) -- the time that a change may take to be seen
        for _, c in ipairs(clients) do
            for file = 1, FILES do
                local answer = c:get("/" .. file)
                assert.equal(200, answer.status)
                assert.equal(newest[file] or 0, content.check(file, answer.body))
            end
        end
        s:stop()
    end)
end)
