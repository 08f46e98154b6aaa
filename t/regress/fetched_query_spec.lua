--- A text given to mg.fetch as its query went into the request line as it was: one that held a line break wrote header fields.
local origin = require "t.support.origin"
local server = require "t.support.server"

describe("the query of mg.fetch", function()
    local s

    setup(function()
        local o = origin.start(function(self)
            self:serve(function(request) return ("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s"):format(#request.head, request.head) end)
        end)
        s = server.start { script = ([[
            local mg = require "moongate"
            local app = mg.app()
            app:get("/", function(req)
                local res, message, code = mg.fetch("http://%s/search", { query = "q=" .. req.query.q })
                return res and res:text() or message .. " (" .. tostring(code) .. ")"
            end)
            return app
        ]]):format(o.address) }
    end)

    teardown(function()
        s:stop()
        server.sweep()
        origin.sweep()
    end)

    it("writes no header fields", function()
        local body = s:get("/?q=a%20HTTP/1.1%0d%0aX-Admin:%20yes%0d%0aX-Rest:%20").body
        assert.not_matches("X-Admin", body, 1, true)
        assert.matches("query: it has control characters", body, 1, true)
        assert.matches("(url)", body, 1, true)
    end)

    it("has what a URL must not have escaped, and what is escaped already as it is", function()
        assert.matches("^GET /search%?q=a%%20b%%23c%%22 HTTP/1.1\r\n", s:get("/?q=a%20b%23c%22").body)
        assert.matches("^GET /search%?q=%%41&b=%+ HTTP/1.1\r\n", s:get("/?q=%2541%26b=%2B").body)
    end)
end)
