--- Machines that give less than they might: the gateway serves all the same, or says in one line what is missing and how it is had.
--- Needs root for most of it: to become somebody else, and to have mounts and networks of its own.
local cjson = require "cjson"
local process = require "t.support.process"
local server = require "t.support.server"

local HELLO = 'local app = require "moongate".app() app:get("/", function() return "hello" end) return app'
local SWITCH = "/proc/sys/kernel/io_uring_disabled"

local is_root = require("posix.unistd").geteuid() == 0
local NOBODY = { "setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "--bounding-set", "-all" }

--- Words that begin with these.
local function with(words, ...)
    local all = { unpack(words) }
    for _, word in ipairs { ... } do all[#all + 1] = word end
    return all
end

--- Whether a command can be run here at all: sandboxes forbid some of it.
local function can(...) return process.run({ ... }, 10) == 0 end

describe("a gateway", function()
    local folder
    before_each(function()
        folder = server.folder { ["app.lua"] = HELLO }
        os.execute(("mkdir -m 777 %s/open && chmod 755 %s && cp %s %s/moongate"):format(folder, folder, server.binary, folder))
    end)
    after_each(server.sweep)

    --- Runs the copy that everybody may read, to its end.
    local function run(through, ...)
        local words = with(through, folder .. "/moongate", ...)
        words.env = { MOONGATE_RUNTIME_DIR = folder .. "/open/rt", MOONGATE_ENGINE = false }
        return process.run(words, 20)
    end

    --- Starts it, and has it answer; its log.
    local function serves(through, listen)
        local binary = server.binary
        server.binary = folder .. "/moongate"
        local ok, s = pcall(server.start, { through = through, file = folder .. "/app.lua", listen = listen,
            env = { MOONGATE_RUNTIME_DIR = folder .. "/open/rt", MOONGATE_ENGINE = false } })
        server.binary = binary
        assert(ok, s)
        assert.equal("hello", s:get("/").body)
        return s:stop()
    end

    if not is_root then return pending("needs root") end

    it("serves a user without privileges who may lock no memory, with epoll when that is not enough for the ring", function()
        local log = serves(with({ "prlimit", "--memlock=0" }, unpack(NOBODY)))
        local line = log:match("[^\n]*serving with epoll[^\n]*")
        if line then assert.matches("locked-memory limit with: ulimit -l unlimited", line, 1, true) end -- kernels differ in what they count
    end)

    it("says which limit of open files to raise, and serves with as many as it needs", function()
        local code, _, err = run(with({ "prlimit", "--nofile=40" }), "run", folder .. "/app.lua", "--listen", "127.0.0.1:0", "--workers", "2")
        assert.equal(7, code)
        local least = err:match("^moongate: 40 open files are allowed, 2 workers need at least (%d+): raise the limit %(ulimit %-n%) or start fewer[^\n]*\n$")
        serves({ "prlimit", "--nofile=" .. least })
    end)

    it("explains to a user without privileges why a low port is refused", function()
        local code, out, err = run(NOBODY, "run", folder .. "/app.lua", "--listen", "127.0.0.1:1")
        assert.same({ 3, "" }, { code, out })
        assert.matches("listen 127%.0%.0%.1:1: permission denied: [^\n]*CAP_NET_BIND_SERVICE[^\n]*ip_unprivileged_port_start=1\n$", err)
    end)

    it("serves where io_uring is switched off for users, and names the switch", function()
        local now = process.read_file(SWITCH)
        if now ~= "0\n" or not io.open(SWITCH, "w") then return pending("the switch cannot be set here") end
        process.write_file(SWITCH, "1\n") -- root keeps its rings
        local ok, failure = pcall(function()
            local log = serves(NOBODY)
            assert.matches("serving with epoll[^\n]*io_uring is switched off on this machine %(kernel.io_uring_disabled = 1%); " ..
                "switch it on with: sysctl %-w kernel.io_uring_disabled=0\n", log)
            local code, _, err = run(NOBODY, "run", folder .. "/app.lua", "--listen", "127.0.0.1:0", "--engine", "io_uring")
            assert.equal(5, code)
            assert.matches("^moongate: worker %d: io_uring is switched off on this machine", err)
            local _, out = run(NOBODY, "doctor")
            assert.matches("\nBAD   io_uring +io_uring is switched off[^\n]*\n +→ sysctl %-w kernel.io_uring_disabled=0\n", out)
        end)
        process.write_file(SWITCH, now)
        assert(ok, failure)
    end)

    it("on a root that is read only names the folder it needs, and serves when it has one", function()
        if not can("unshare", "-m", "true") then return pending("no mounts of one's own here") end
        local READ_ONLY = 'mount -o remount,ro,bind / && exec "$0" "$@"'
        local code, _, err = run({ "unshare", "-m", "sh", "-c", READ_ONLY }, "run", folder .. "/app.lua", "--listen", "127.0.0.1:0")
        if code == 0 or err:find("mount", 1, true) then return pending("the root cannot be made read only here") end
        assert.equal(7, code)
        assert.matches("^moongate: [^\n]*/open/rt[^\n]*: Read%-only file system[^\n]*\n$", err)
        assert.matches("MOONGATE_RUNTIME_DIR", err)
        local OWN = ("mount -t tmpfs -o mode=777 none %s/open && "):format(folder) .. READ_ONLY
        code, _, err = run({ "timeout", "-s", "TERM", "2", "unshare", "-m", "sh", "-c", OWN }, "run", folder .. "/app.lua", "--listen", "127.0.0.1:0")
        assert.equal(124, code)
        assert.matches("serves http://", err)
    end)

    it("serves without /proc, and doctor says what cannot be told", function()
        if server.sanitized then return pending("a sanitizer needs /proc") end
        if not can("unshare", "-m", "mount", "-t", "tmpfs", "none", "/proc") then return pending("no mounts of one's own here") end
        local WITHOUT = { "unshare", "-m", "sh", "-c", 'mount -t tmpfs none /proc && exec "$0" "$@"' }
        serves(WITHOUT)
        local code, out = run(WITHOUT, "doctor")
        assert.equal(0, code)
        assert.matches("\nnote  /proc +not there", out)
    end)

    it("serves in a network without a loopback, and doctor says how to have one", function()
        if not can("unshare", "-n", "true") then return pending("no network of one's own here") end
        local path = folder .. "/open/gate.sock"
        serves({ "unshare", "-n" }, { "unix:" .. path })
        local code, out = run({ "unshare", "-n" }, "doctor", "--json")
        assert.equal(0, code)
        local found
        for _, finding in ipairs(cjson.decode(out).findings) do found = found or finding.name == "loopback" and finding end
        assert.equal("ip link set lo up", found.fix)
    end)
end)
