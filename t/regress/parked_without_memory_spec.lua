--- A request whose head could not be kept while its handler waited went on without its path, fields and captures. It is answered 503 now.
local http_text = require "t.support.http_text"
local server = require "t.support.server"

after_each(server.sweep)

local CONNECTIONS, DEEP = 6, 40
local FIELD = ("f"):rep(7000)

describe("requests that wait, with more of their heads than limits.buffers", function()
    it("are answered 503, or as if nothing were short", function()
        local s = server.start { script = [[
            local mg = require "moongate"
            local app = mg.app()
            app:get("/wait/:n", function(req)
                mg.sleep("200ms")
                return req.params.n .. " " .. #req.headers["x-long"]
            end)
            return { app = app, limits = { buffers = "1m" } }
        ]] }
        local clients, counts = {}, { [200] = 0, [503] = 0 }
        for at = 1, CONNECTIONS do
            clients[at] = s:connect()
            local parts = {}
            for n = 1, DEEP do parts[n] = http_text.request("GET", "/wait/" .. at * 100 + n, { ["X-Long"] = FIELD }) end
            clients[at]:send(table.concat(parts))
        end
        for at, c in ipairs(clients) do
            for n = 1, DEEP do
                local ok, response = pcall(c.read, c)
                if not ok then break end -- the input itself found no room: the connection was closed
                counts[response.status] = counts[response.status] + 1
                if response.status == 200 then assert.equal(at * 100 + n .. " 7000", response.body) end
            end
        end
        assert.is_true(counts[200] > 0 and counts[503] > 0, ("%d answers, %d refused"):format(counts[200], counts[503]))
        local after = s:connect()
        after:send(http_text.request("GET", "/wait/1", { ["X-Long"] = FIELD }))
        assert.equal("1 7000", after:read().body)
        s:stop()
    end)
end)
