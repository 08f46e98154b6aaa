--- Content that ends with the connection (HTTP/1.0) and was cut short looked whole to the client: the connection ended as after all of it.
local origin = require "t.support.origin"
local server = require "t.support.server"

describe("an answer to HTTP/1.0 whose upstream breaks off", function()
    local s

    setup(function()
        local o = origin.start(function(self)
            self:serve(function(request, _, client)
                client:send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
                return request.target == "/whole" and "0\r\n\r\n" or nil
            end)
        end)
        s = server.start { script = ([[
            local mg = require "moongate"
            local app = mg.app()
            app:proxy("/*", mg.upstream { servers = { "%s" } })
            return app
        ]]):format(o.address) }
    end)

    teardown(function()
        s:stop()
        server.sweep()
        origin.sweep()
    end)

    --- All that came until the connection ended; nil when it ended by a reset.
    local function all_of(path)
        local c = require("socket").connect(s.host, s.port)
        c:settimeout(5)
        c:send(("GET %s HTTP/1.0\r\nHost: a\r\n\r\n"):format(path))
        local all, message = c:receive("*a")
        c:close()
        assert.is_true(all ~= nil or message == "closed", message)
        return all
    end

    it("ends with a reset", function() assert.is_nil(all_of("/cut")) end)

    it("ends as it should when it is whole", function() assert.matches("\r\n\r\nhello$", all_of("/whole")) end)
end)
