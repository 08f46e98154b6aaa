--- A backend that is killed and started again in a loop, under load: what fails is within what was in flight there, and each failure has its
--- cause in the log. MG_FLAP_SECONDS says for how long (6 unless said otherwise).
local socket = require "socket"
local origin = require "t.support.origin"
local process = require "t.support.process"
local server = require "t.support.server"

local SECONDS = tonumber(os.getenv "MG_FLAP_SECONDS") or 6
local POSTERS, GETTERS = 4, 4
local TEXT = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

--- Answers after a moment, so that there is always something in flight.
local function script(self)
    self:serve(function()
        socket.select(nil, nil, 0.002)
        return TEXT
    end)
end

--- Asks again and again until the time is over, one request at a time; what failed goes to `path`, a line each, and the count of all as the last.
local function client(host, port, method, seconds, path)
    local out, count, until_time = assert(io.open(path, "w")), 0, process.now() + seconds
    local s
    while process.now() < until_time do
        if not s then
            s = assert(socket.connect(host, port))
            s:settimeout(20)
        end
        s:send(method .. " /x HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
        local line, why = s:receive("*l")
        local length = 0
        while line do
            local field = s:receive("*l")
            if not field or field == "" then break end
            length = tonumber(field:lower():match("^content%-length: (%d+)")) or length
        end
        if line and length > 0 then s:receive(length) end
        count = count + 1
        if not line or not line:match("^HTTP/1.1 200") then
            out:write(tostring(line or why), "\n")
            s:close()
            s = nil
        end
    end
    out:write(count, "\n")
    out:close()
end

local function results(paths)
    local failed, all, lines = 0, 0, {}
    for _, path in ipairs(paths) do
        for line in process.read_file(path):gmatch("[^\n]+") do
            if line:match("^%d+$") then
                all = all + tonumber(line)
            else
                failed = failed + 1
                lines[#lines + 1] = line
            end
        end
    end
    return failed, all, table.concat(lines, ", ")
end

describe("a backend that dies again and again", function()
    after_each(function()
        origin.sweep()
        server.sweep()
    end)

    it("costs at most the requests in flight on it, each with its cause in the log", function()
        local steady, flapping = origin.start(script), origin.start(script)
        local port = flapping.port
        local s = server.start { workers = 2, script = ([[
            local mg = require "moongate"
            local app = mg.app()
            app:proxy("/*", mg.upstream { name = "api", servers = { "%s", "%s" } })
            return app]]):format(steady.address, flapping.address) }
        local folder, children, posts, gets = server.folder(), {}, {}, {}
        for i = 1, POSTERS + GETTERS do
            local is_post = i <= POSTERS
            local path = ("%s/%d"):format(folder, i)
            table.insert(is_post and posts or gets, path)
            children[i] = process.fork({}, function() client(s.host, s.port, is_post and "POST" or "GET", SECONDS, path) end)
        end
        local kills, until_time = 0, process.now() + SECONDS - 1.5
        while process.now() < until_time do
            socket.select(nil, nil, 0.4) -- the load goes on
            flapping:stop()
            kills = kills + 1
            socket.select(nil, nil, 0.3)
            flapping = origin.start(script, port)
        end
        for _, child in ipairs(children) do assert(child:wait(SECONDS + 30)) end
        s:stop()
        local failed_posts, all_posts, what = results(posts)
        local failed_gets, all_gets, what_else = results(gets)
        local log = s:log()
        local _, causes = log:gsub("error[^\n]*upstream \"api\": [^\n]+", "")
        local told = ("%d kills: %d of %d POST and %d of %d GET failed; %d causes in the log"):format(kills, failed_posts, all_posts, failed_gets,
            all_gets, causes)
        if os.getenv "MG_FLAP_TELL" then print(told) end
        assert.is_true(kills >= 3 and all_posts > 100 and all_gets > 100, told)
        assert.is_true(failed_posts <= kills * POSTERS, told .. ": " .. what)
        assert.equal(0, failed_gets, told .. ": " .. what_else) -- a GET is sent again
        assert.equal(failed_posts, causes, told .. "\n" .. log)
    end)
end)
