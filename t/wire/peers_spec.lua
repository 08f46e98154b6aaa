--- Servers and clients that others wrote, on both sides of the gateway: nginx, HAProxy, a Node application with WebSockets and server-sent
--- events, curl. Pending where they are not installed.
local process = require "t.support.process"
local server = require "t.support.server"
local wire = require "t.support.wire"

local function has(program)
    for folder in (os.getenv("PATH") .. ":/usr/sbin"):gmatch("[^:]+") do
        local f = io.open(folder .. "/" .. program)
        if f then
            f:close()
            return folder .. "/" .. program
        end
    end
    return nil
end

local NODE_PATH = "/usr/share/nodejs:/usr/lib/node_modules:/usr/local/lib/node_modules"

local running = {}

local function spawn(command)
    local child = process.spawn(command)
    running[#running + 1] = child
    return child
end

local function wait_port(port)
    local limit = process.now() + 10
    while true do
        local s = require "socket".connect("127.0.0.1", port)
        if s then return s:close() end
        assert(process.now() < limit, "it does not listen on " .. port)
        process.readable(0, 0.02)
    end
end

local function wait_text(path, pattern)
    local limit = process.now() + 10
    while true do
        local found = process.read_file(path):match(pattern)
        if found then return found end
        assert(process.now() < limit, path .. ": " .. process.read_file(path))
        process.readable(0, 0.02)
    end
end

--- A site that passes everything on, with a route of its own for each name.
local function gateway(ports)
    local lines = { 'local mg = require "moongate"', "local app = mg.app()" }
    for name, port in pairs(ports) do
        lines[#lines + 1] = ('app:proxy("/%s/*", "http://127.0.0.1:%d", { strip = "/%s", body = "64m" })'):format(name, port, name)
    end
    lines[#lines + 1] = "return app"
    return server.start { script = table.concat(lines, "\n") }
end

local function curl(...)
    local words = { "curl", "-sS", "--max-time", "20", ... }
    for at, word in ipairs(words) do words[at] = "'" .. word .. "'" end
    local pipe = io.popen(table.concat(words, " ") .. " 2>&1")
    local text = pipe:read("*a")
    pipe:close()
    return text
end

after_each(function()
    for _, child in ipairs(running) do child:kill() end
    running = {}
    server.sweep()
end)

describe("nginx behind the gateway", function()
    local program = has "nginx"
    if not program then return pending("nginx is not installed") end

    it("serves files, ranges and chunks, keeps its connections, and takes uploads", function()
        local folder, port = process.folder(), wire.free_port()
        process.write_file(folder .. "/big.bin", ("0123456789abcdef"):rep(65536))
        process.write_file(folder .. "/page.html", ("<p>text</p>"):rep(2000))
        process.write_file(folder .. "/nginx.conf", ([[
            daemon off; master_process off; pid FOLDER/pid; error_log stderr; worker_processes 1; user root;
            events { worker_connections 256; }
            http { access_log FOLDER/access combined; gzip on; gzip_min_length 100; client_body_temp_path FOLDER/body; proxy_temp_path FOLDER/p;
                fastcgi_temp_path FOLDER/f; uwsgi_temp_path FOLDER/u; scgi_temp_path FOLDER/s; client_max_body_size 64m;
                server { listen 127.0.0.1:PORT; root FOLDER; location /conn { return 200 "$connection"; }
                    location /up { client_body_in_file_only clean; proxy_pass http://127.0.0.1:PORT/sink; } location /sink { return 200 "$content_length"; } } }
        ]]):gsub("FOLDER", folder):gsub("PORT", port))
        spawn { program, "-c", folder .. "/nginx.conf", stderr = folder .. "/stderr" }
        wait_port(port)
        local s = gateway { n = port }
        local at = "http://127.0.0.1:" .. s.port .. "/n"
        assert.equal(1048576, #curl(at .. "/big.bin"))
        assert.equal("abcdef01", curl("-r", "1048570-1048575", at .. "/big.bin") .. curl("-r", "16-17", at .. "/big.bin"))
        assert.equal(("<p>text</p>"):rep(2000), curl("--compressed", at .. "/page.html"))
        assert.matches("304", curl("-o", "/dev/null", "-w", "%{http_code}", "-z", folder .. "/page.html", at .. "/page.html"))
        assert.matches("404", curl("-o", "/dev/null", "-w", "%{http_code}", at .. "/nothing"))
        local first = curl(at .. "/conn")
        for _ = 1, 3 do assert.equal(first, curl(at .. "/conn")) end
        process.write_file(folder .. "/upload", ("u"):rep(3000000))
        assert.equal("3000000", curl("-T", folder .. "/upload", at .. "/up"))
        assert.equal("3000000", curl("-H", "Expect: 100-continue", "--data-binary", "@" .. folder .. "/upload", at .. "/up"))
        assert.equal("", s:log():match("error[^\n]*") or "")
        process.remove_folder(folder)
    end)
end)

describe("HAProxy behind the gateway", function()
    local program = has "haproxy"
    if not program then return pending("HAProxy is not installed") end

    it("sees who asked, and its answers come back with their connections kept", function()
        local folder, port = process.folder(), wire.free_port()
        process.write_file(folder .. "/haproxy.cfg", ([[
global
    maxconn 256
defaults
    mode http
    timeout client 10s
    timeout server 10s
    timeout connect 5s
frontend f
    bind 127.0.0.1:%d
    http-request return status 200 content-type text/plain lf-string "%%[req.hdr(x-forwarded-for)] %%[req.hdr(via)] %%[src_port] %%[req.hdrs,length]"
]]):format(port))
        spawn { program, "-db", "-f", folder .. "/haproxy.cfg", stderr = folder .. "/stderr", stdout = folder .. "/stdout" }
        wait_port(port)
        local s = gateway { h = port }
        local c, ports = s:connect(), {}
        for at = 1, 5 do
            local client, via, from = c:get("/h/x", { ["X-Forwarded-For"] = "6.6.6.6" }).body:match("^(%S+) (%S+ %S+) (%d+)")
            assert.same({ "127.0.0.1", "1.1 moongate" }, { client, via })
            ports[at] = from
        end
        assert.same({ ports[1], ports[1], ports[1], ports[1], ports[1] }, ports)
        c:close()
        process.remove_folder(folder)
    end)
end)

describe("a Node application behind the gateway", function()
    local program = has "node"
    if not program or os.execute(("NODE_PATH=%s %s -e 'require(\"ws\")' 2>/dev/null"):format(NODE_PATH, program)) ~= 0 then
        return pending("Node or its module ws is not installed")
    end

    local s, folder
    before_each(function()
        folder = process.folder()
        process.write_file(folder .. "/stdout", "")
        spawn { program, "t/support/node_origin.js", stdout = folder .. "/stdout", stderr = folder .. "/stderr", env = { NODE_PATH = NODE_PATH } }
        s = gateway { node = tonumber(wait_text(folder .. "/stdout", "(%d+)\n")) }
    end)
    after_each(function() process.remove_folder(folder) end)

    it("talks over WebSockets: text, binary, compressed, in small and large frames", function()
        local out = folder .. "/client"
        process.write_file(out, "")
        local client = spawn { program, "t/support/node_client.js", ("ws://127.0.0.1:%d/node/ws"):format(s.port), "40", "300000", stdout = out, stderr = out,
            env = { NODE_PATH = NODE_PATH } }
        client:wait(30)
        assert.equal("ok\n", process.read_file(out))
    end)

    it("sends events, and each arrives when it was sent", function()
        local c = s:connect()
        c:send("GET /node/events HTTP/1.1\r\nHost: a\r\n\r\n")
        assert.equal("text/event-stream", c:read_head():get("content-type"))
        local delays = {}
        for at = 1, 20 do
            local sent = tonumber(c:read_chunk():match("^data: (%d+)\n\n$"))
            delays[at] = process.now() - sent / 1e9
        end
        assert.equal("", c:read_chunk())
        table.sort(delays)
        assert.is_true(delays[10] < 0.05, ("half of them took more than %.1f ms"):format(delays[10] * 1000))
        c:close()
    end)

    it("brings early hints and trailers, and echoes what is uploaded while it is downloaded", function()
        local at = "http://127.0.0.1:" .. s.port .. "/node"
        assert.matches("HTTP/1.1 103 Early Hints\r\n[Ll]ink: </a.css>; rel=preload; as=style\r\n\r\nHTTP/1.1 200 OK\r\n.*after the hints$",
            curl("-i", at .. "/early"))
        assert.matches("X%-Sum: 7", curl("-v", "--raw", "-H", "TE: trailers", "-H", "Connection: TE", at .. "/trailers"))
        process.write_file(folder .. "/upload", ("0123456789"):rep(2000000))
        assert.equal("20000000", curl("-o", "/dev/null", "-w", "%{size_download}", "-T", folder .. "/upload", at .. "/echo"))
        assert.matches("502", curl("-o", "/dev/null", "-w", "%{http_code}", at .. "/reset"))
        s:wait_log('upstream "[^"]*": [^ ]*: connection ended before a response head')
    end)
end)
