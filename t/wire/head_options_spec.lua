--- HEAD, 204, 304 and OPTIONS: answers without content, whose framing must leave no byte behind and none missing.
local gate_site = require "t.support.gate_site"
local server = require "t.support.server"

local s
setup(function() s = gate_site.start("", [[
    app:get("/cached", function() return mg.respond { status = 304, headers = { etag = '"x"' } } end)
    app:get("/raise", function() error("no") end)
    app:get("/json", function() return { a = 1 } end)
    app:get("/gone-stream", function() return mg.stream(function(out) out:write("never sent to HEAD") end, { length = 18 }) end)
    app:get("/no-content-stream", function() return mg.stream(function(out) out:write("x") end, { status = 204 }) end)
    app:get("/with-body/:n", function(req) return tonumber(req.params.n), "a body that must not be sent" end)
    app:redirect("/old", "/new")
]]) end)
teardown(function()
    s:stop()
    server.sweep()
end)

local TARGETS = { "/", "/n/1", "/big/100000", "/stream/3", "/nowhere", "/raise", "/json", "/gone-stream", "/old", "/status/500", "/empty/201", "/sleep/1",
    "/empty/204", "/empty/304", "/cached", "/no-content-stream", "/with-body/204", "/with-body/304" }

--- Fields that may differ from one answer to the next.
local function comparable(response)
    local list = {}
    for _, field in ipairs(response.fields) do
        if field[1]:lower() ~= "date" then list[#list + 1] = field[1]:lower() .. ": " .. field[2] end
    end
    table.sort(list)
    return list
end

describe("HEAD", function()
    it("has the fields of GET and no content, and leaves the connection in step", function()
        local c = s:connect()
        for _, target in ipairs(TARGETS) do
            local get, head = c:get(target), c:head(target)
            assert.equal(get.status, head.status, target)
            -- The id of an error is in its body alone.
            assert.same(comparable(get), comparable(head), target)
            assert.equal("hello", c:get("/").body, target)
        end
    end)

    it("may be pipelined", function()
        local c, list = s:connect(), {}
        for at, target in ipairs(TARGETS) do list[at] = { "HEAD", target } end
        local responses = c:pipeline(list)
        assert.equal(#TARGETS, #responses)
        assert.equal("hello", c:get("/").body)
    end)

    it("of HTTP/1.0 ends by the close without a byte of content", function()
        for _, target in ipairs { "/", "/stream/3", "/nowhere" } do
            local c = s:connect()
            c:send("HEAD " .. target .. " HTTP/1.0\r\n\r\n")
            c:read("HEAD")
            c:expect_close()
        end
    end)
end)

describe("204 and 304", function()
    it("have no content, whatever the handler gave", function()
        local c = s:connect()
        for _, target in ipairs { "/empty/204", "/with-body/204", "/no-content-stream" } do
            local response = c:get(target)
            assert.equal(204, response.status, target)
            assert.is_nil(response:get("content-length"), target)
            assert.is_nil(response:get("transfer-encoding"), target)
        end
        for _, target in ipairs { "/empty/304", "/with-body/304", "/cached" } do
            local response = c:get(target)
            assert.equal(304, response.status, target)
            assert.is_nil(response:get("transfer-encoding"), target)
        end
        assert.equal([["x"]], c:get("/cached"):get("etag"))
        assert.equal("hello", c:get("/").body)
    end)
end)

describe("OPTIONS", function()
    it("names the methods that a path has; * those of the server; others are 404", function()
        local c = s:connect()
        local response = c:request("OPTIONS", "/n/1")
        assert.equal(204, response.status)
        assert.equal("GET, HEAD, OPTIONS", response:get("allow"))
        assert.truthy(c:request("OPTIONS", "*"):get("allow"))
        assert.equal(404, c:request("OPTIONS", "/nowhere").status)
        assert.equal("hello", c:get("/").body)
    end)

    it("reaches a route of its own", function()
        local c = s:connect()
        assert.equal("left", c:request("OPTIONS", "/leave").body)
    end)

    it("may have content, which is dropped", function()
        local c = s:connect()
        assert.equal(204, c:request("OPTIONS", "/n/1", nil, "content").status)
        assert.is_true(c:request("OPTIONS", "*", nil, "content").status < 300)
        assert.equal("hello", c:get("/").body)
    end)
end)

describe("405", function()
    it("says which methods the path has", function()
        local c = s:connect()
        local response = c:request("DELETE", "/n/1")
        assert.equal(405, response.status)
        assert.equal("GET, HEAD, OPTIONS", response:get("allow"))
    end)
end)
