--- The command line: src/proc/options.c, help.c.
local instance = require "t.support.instance"

describe("the command line", function()
    before_each(instance.begin)
    after_each(instance.sweep)

    local function refuses(words, pattern)
        local code, out, err = instance.run(words)
        assert.equal(2, code)
        assert.equal("", out)
        assert.matches(pattern, err)
        assert.matches("\nsee: moongate [%l ]+%-?%-?%l*\n$", err)
    end

    local function options_seen(words)
        local s = instance.start("", { command = words, listen = {}, workers = false })
        local text = s:get("/options").body
        s:stop()
        return text
    end

    it("explains itself: the overview names every command that works, and no other", function()
        local code, out = instance.run { "help" }
        assert.equal(0, code)
        for _, name in ipairs { "run", "serve", "proxy", "check", "routes", "explain", "upgrade", "stop", "reload", "status", "generations",
            "jit", "top", "doctor", "version", "help" } do
            assert.matches("\n  " .. name .. "%s", out)
            local help_code, help = instance.run { name, "--help" }
            assert.equal(0, help_code)
            assert.matches("^usage: moongate " .. name, help)
            assert.equal(help, (select(2, instance.run { "help", name })))
        end
        for _, name in ipairs { "bottom", "start" } do assert.is_nil(out:find("\n  " .. name, 1, true)) end
        assert.equal(out, (select(2, instance.run { "--help" })))
    end)

    it("documents the exit codes", function()
        local code, out = instance.run { "help", "exit-codes" }
        assert.equal(0, code)
        for number = 0, 8 do assert.matches("\n  " .. number .. "%s", "\n" .. out) end
    end)

    it("tells version, Lua, liburing, kernel and compiler", function()
        for _, word in ipairs { "version", "--version", "-V" } do
            local code, out = instance.run { word }
            assert.equal(0, code)
            assert.matches("^moongate %d+%.%d+%.%d+\nlua +%S.-\nliburing +%d.-\nkernel +Linux %d.-\ncompiler +%l+ %d", out)
        end
    end)

    it("asks for a command when there is none", function()
        local code, out, err = instance.run {}
        assert.equal(2, code)
        assert.equal("", out)
        assert.matches("which command", err)
    end)

    it("guesses what was meant, for commands and options", function()
        refuses({ "stauts" }, 'unknown command "stauts": did you mean "status"%?')
        refuses({ "ser" }, 'did you mean "serve"%?')
        refuses({ "run", "--lisen", ":1" }, "unknown option %-%-lisen: did you mean %-%-listen%?")
        refuses({ "run", "--worker=2" }, "did you mean %-%-workers%?")
        refuses({ "help", "stat" }, 'did you mean "status"%?')
    end)

    it("does not guess when nothing is near", function()
        refuses({ "frobnicate" }, 'unknown command "frobnicate"\n')
        refuses({ "run", "--zzzzzz" }, "unknown option %-%-zzzzzz\n")
        refuses({ "run", "-z" }, "unknown option %-z\n")
        refuses({ ("x"):rep(5000) }, "unknown command")
        refuses({ "run", "--" .. ("x"):rep(5000) }, "unknown option")
    end)

    it("says whose option it is when a command does not have it", function()
        refuses({ "run", "--port", "80" }, "%-%-port is an option of moongate serve, not of run")
        refuses({ "stop", "--json" }, "%-%-json is an option of moongate check")
    end)

    it("refuses words, numbers and addresses that cannot be", function()
        refuses({ "run", "a.lua", "b.lua" }, 'unexpected word "b.lua"')
        refuses({ "status", "site" }, 'unexpected word "site"')
        refuses({ "check" }, "which file")
        refuses({ "serve" }, "which folder")
        refuses({ "serve", "a", "-r", "b" }, "given twice")
        refuses({ "proxy", ":1" }, "at least one upstream")
        refuses({ "run", "--listen" }, "%-%-listen: expected ADDR")
        refuses({ "run", "-w" }, "%-w: expected N|auto")
        refuses({ "run", "--debug=yes" }, "takes no value")
        refuses({ "run", "--name", "a", "--name", "b" }, "given twice")
        refuses({ "run", "--name", "../a" }, "%-%-name: expected")
        refuses({ "run", "--name", "" }, "%-%-name: expected")
        refuses({ "run", "--name", ("n"):rep(65) }, "%-%-name: expected")
        refuses({ "run", "--wait-for-port=soon" }, "expected seconds such as 30")
        refuses({ "serve", ".", "--listen", ":1", "--port", "2" }, "not both")
    end)

    it("refuses addresses that are none", function()
        for _, bad in ipairs { "", "example.com:80", "1.2.3.4", "1.2.3.4:", "1.2.3:80", ":65536", ":-1", ":http", "[::1]", "[::1:80",
                               "::1:80", "[]:80", "[g::]:80", "unix:", "unix:relative", "unix:/" .. ("x"):rep(107), ("1"):rep(300) } do
            refuses({ "run", "--listen", bad }, "%-%-listen \"")
        end
        local reasons = {
            ["1.2.3.4"] = "the port is missing, as in 127%.0%.0%.1:8080",
            ["localhost"] = "the port is missing",
            ["[::1]"] = "the port is missing",
            ["8080"] = "a port follows a colon, as in :8080",
            [":65536"] = "ports go from 0 to 65535",
            ["example.com:80"] = "names are not looked up",
            ["http://127.0.0.1:80"] = "an address has no scheme",
            ["::1:80"] = "an IPv6 address stands in brackets",
            ["1.2.3:80"] = "expected an address such as 127%.0%.0%.1:8080",
        }
        for bad, reason in pairs(reasons) do refuses({ "run", "--listen", bad }, '%-%-listen "[^"]*": ' .. reason) end
    end)

    it("takes 1 to 256 workers", function()
        for _, bad in ipairs { "0", "257", "-1", "1.5", "many", "", "99999999999999999999" } do
            refuses({ "run", "--workers", bad }, "%-%-workers: expected \"auto\" or a number from 1 to 256")
        end
    end)

    it("takes options before and after the words, joined and apart, long and short", function()
        local file = instance.config("listen 127.0.0.1:0")
        for _, words in ipairs { { "run", "-dw1", file }, { "run", file, "--debug", "-w", "1" }, { "run", "--workers=1", "-d", file } } do
            local seen = options_seen(words)
            assert.matches("^command=run file=" .. file:gsub("%p", "%%%0") .. " workers=1 name=spec%S+ debug=1$", seen)
        end
    end)

    it("takes what follows -- as words", function()
        refuses({ "run", "--", "--listen", ":80" }, 'unexpected word ":80"')
        local code, _, err = instance.run({ "check", "--", "--json" })
        assert.same({ 0, "" }, { code, err })
    end)

    it("gives Lua every address, in order", function()
        local seen = options_seen { "run", "--listen", "127.0.0.1:0", "--listen=[::1]:0", instance.config("") }
        assert.matches(" listen=127.0.0.1:0 listen=%[::1%]:0$", seen)
    end)

    it("takes the epoll server's own line", function()
        local seen = options_seen { "serve", "-r", "/srv/www", "-p", "0", "-i", "127.0.0.1", "-w", "1", "-d" }
        assert.matches("^command=serve file= workers=1 .* debug=1 argument=/srv/www listen=127.0.0.1:0$", seen)
    end)

    it("composes an address of what is given of it", function()
        assert.matches("listen=127.0.0.1:0$", options_seen { "serve", ".", "--port", "0" })
        assert.matches("listen=%[::1%]:0$", options_seen { "serve", ".", "--port", "0", "--addr", "::1" })
        refuses({ "serve", ".", "--addr", "nowhere" }, '"nowhere:8080"')
        refuses({ "serve", ".", "--port", "65536" }, "%-%-port: expected a number from 0 to 65535")
    end)

    it("hands proxy its address and upstreams", function()
        assert.matches(" argument=127.0.0.1:0 argument=10.0.0.1:80 argument=10.0.0.2:80$",
            options_seen { "proxy", "127.0.0.1:0", "10.0.0.1:80", "10.0.0.2:80" })
    end)

    it("runs check and routes in a child with a limit, and gives back its code and output", function()
        local good, bad = instance.config(""), instance.config("fake plan-problem wrong")
        local code, out = instance.run { "check", good }
        assert.same({ 0, "check " .. good .. "\n" }, { code, out })
        assert.equal(1, (instance.run { "routes", bad }))
        local late, _, err = instance.run({ "check", instance.config("fake plan-hang") }, 10, { FAKE_LOAD_MS = "100" })
        assert.equal(1, late)
        assert.matches("did not finish loading within 100ms", err)
    end)

    it("lives without standard descriptors", function()
        local code = os.execute(("%s version <&- >&- 2>&-"):format(instance.fake))
        assert.equal(0, code)
    end)
end)
