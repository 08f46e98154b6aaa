local negotiate = require "moongate.negotiate"

describe("negotiate", function()
    it("reads media types", function()
        assert.same({ type = "text", subtype = "html", params = {} }, negotiate.media_type("text/html"))
        assert.same({ type = "text", subtype = "html", params = { charset = "UTF-8", b = 'x;"y' } },
            negotiate.media_type([[ Text/HTML ;Charset=UTF-8 ; b="x;\"y" ; ]]))
        assert.same({ a = "" }, negotiate.media_type('a/b; a=""').params)
    end)

    it("refuses what is not a media type", function()
        for _, bad in ipairs { "", "text", "text/", "/html", "te xt/html", "text/html; charset", "text/html; a=\"x", "text/html x",
                               "text/html; a=1; A=2", 'text/html; a="x"y' } do
            local media, message = negotiate.media_type(bad)
            assert.is_nil(media)
            assert.is_string(message)
        end
    end)

    it("picks the offer that the client weighs most, the first of equals", function()
        local cases = {
            { "text/html, application/json;q=0.9", { "json", "html" }, "html" },
            { "text/html;q=0.5, application/json", { "html", "json" }, "json" },
            { "*/*", { "json", "html" }, "json" },
            { "text/*;q=0.3, text/html;q=0.7, text/plain, */*;q=0.5", { "text/css", "html", "image/png" }, "html" },
            { "text/*, text/html;q=0", { "html" }, nil },
            { "text/html;level=1, text/html;q=0.1", { "text/html", "text/html;level=1" }, "text/html;level=1" },
            { "image/png", { "json" }, nil },
            { "application/json;q=0", { "json" }, nil },
            { nil, { "json", "html" }, "json" },
            { "", { "json" }, "json" },
            { "TEXT/HTML", { "json", "html" }, "html" },
            { 'text/html;a="x,y";q=0.1, application/json;q=0.2', { 'text/html;a="x,y"', "json" }, "json" },
            { [[text/html;a="\",x";q=0.1, application/json;q=0.2]], { "html", "json" }, "json" },
            { [[text/html;a="\",application/json,\""]], { "json" }, nil },
            { "application/json;q=0.001", { "json" }, "json" },
        }
        for _, case in ipairs(cases) do assert.equal(case[3], negotiate.accepts(case[1], case[2])) end
    end)

    it("ignores members that are malformed", function()
        assert.equal("json", negotiate.accepts("html, text/html;q=2, text/html;q=0.1234, */html, application/json;q=0.1", { "html", "json" }))
    end)

    it("raises at the caller's line for an offer that is no type", function()
        local ok, message = pcall(function() local x = negotiate.accepts("*/*", { "jsn" }) return x end)
        assert.is_false(ok)
        assert.matches("negotiate_spec.lua:%d+: accepts: .*\"jsn\"", message)
    end)

    it("picks a coding", function()
        local offers = { "zstd", "br", "gzip" }
        local cases = {
            { "gzip, br", "br" }, { "gzip;q=1.0, br;q=0.5", "gzip" }, { "*", "zstd" }, { "br;q=0, *", "zstd" }, { "deflate", "identity" },
            { "", "identity" }, { nil, "identity" }, { "identity, gzip;q=0.5", "identity" }, { "identity;q=0.5, gzip;q=0.5", "gzip" },
            { "identity;q=0", nil }, { "*;q=0", nil }, { "*;q=0, gzip", "gzip" }, { "GZIP", "gzip" }, { "gzip;q=x, br;q=0.2", "br" },
            { "*;q=0, identity;q=0.1", "identity" }, { "identity;q=0, gzip;q=0", nil },
        }
        for _, case in ipairs(cases) do assert.equal(case[2], negotiate.accepts_encoding(case[1], offers)) end
    end)

    it("gives the same answers however many different values came before", function()
        for i = 1, 200 do assert.equal("html", negotiate.accepts("text/html;v=" .. i .. ", text/html", { "json", "html" })) end
        assert.equal("html", negotiate.accepts("text/html;v=1, text/html", { "json", "html" }))
    end)
end)
