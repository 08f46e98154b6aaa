local html = require "moongate.html"

describe("html", function()
    it("escapes the five characters that can become markup, each once", function()
        assert.equal("&lt;a href=&quot;x&quot; title=&#39;y&#39;&gt;&amp;amp;", html.escape [[<a href="x" title='y'>&amp;]])
    end)

    it("leaves all other bytes as they are", function()
        assert.equal("plain `text` é \0 100%", html.escape("plain `text` é \0 100%"))
    end)

    it("takes any value and gives one result", function()
        assert.equal("12", html.escape(12))
        assert.equal("true", html.escape(true))
        assert.equal("", html.escape(nil))
        assert.equal(1, select("#", html.escape("<")))
    end)
end)
