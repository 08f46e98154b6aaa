--- A real nginx as the server that is fetched from and looked at. Pending where there is none.
local process = require "t.support.process"
local server = require "t.support.server"
local wire = require "t.support.wire"

local CONF = [[
daemon off; master_process off; worker_processes 1; pid FOLDER/pid; error_log FOLDER/error.log;
events { worker_connections 256; }
http {
    access_log off; client_body_temp_path FOLDER/body; proxy_temp_path FOLDER/p; fastcgi_temp_path FOLDER/f; uwsgi_temp_path FOLDER/u;
    scgi_temp_path FOLDER/s; client_max_body_size 100k; keepalive_requests 50;
    server {
        listen 127.0.0.1:PORT; root FOLDER/www; gzip on; gzip_proxied any; gzip_types text/plain; gzip_min_length 1;
        location /moved { return 302 /small.txt; }
        location /conn { add_header X-Conn $connection always; return 200 "$request_method $connection_requests"; }
    }
}
]]

local SCRIPT = [[
local mg = require "moongate"
local app = mg.app()
local N = "http://127.0.0.1:PORT"
local nginx = mg.upstream { name = "nginx", servers = { "127.0.0.1:PORT" } }
app:proxy("/*", nginx)
app:filter("/*", function(req, next)
    if req.path:match("^/f/") or req.path == "/unseen.txt" then return next(req) end
    local res = next(req)
    res.headers["x-saw"] = tostring(res.status)
    return res
end)
app:filter("/big.txt", function(req, next) local res = next(req); res:map(function(piece) return piece:upper() end); return res end)
app:get("/f/fetch/*", function(req) local r, m, c = mg.fetch(N .. "/" .. req.params["*"], { headers = { ["accept-encoding"] = req.query.coding } })
    if not r then return nil, m, c end
    return { status = r.status, bytes = #r:text(), coding = r.headers["content-encoding"], url = r.url } end)
app:get("/f/many", function(req)
    local last
    for _ = 1, 120 do last = assert(mg.fetch(N .. "/conn")) ; assert(last.status == 200) end
    return last:text()
end)
app:get("/f/head", function() return mg.fetch(N .. "/small.txt", { method = "HEAD" }).headers["content-length"] end)
app:get("/f/big", function() local n = 0; for piece in mg.fetch(N .. "/big.txt"):chunks() do n = n + #piece end return tostring(n) end)
app:get("/f/upload/:n", function(req) local r, m, c = mg.fetch(N .. "/small.txt", { method = "POST", body = ("x"):rep(tonumber(req.params.n)) })
    if not r then return nil, m, c end
    return tostring(r.status) end)
return app
]]

local has_nginx = os.execute("command -v nginx >/dev/null 2>&1") == 0

local describe_it = has_nginx and describe or function(name) describe(name, function() pending("there is no nginx here") end) end

describe_it("nginx behind the gate", function()
    local s, n, port
    local BIG = 3000000
    setup(function()
        port = tostring(wire.free_port())
        local folder = server.folder { ["www/small.txt"] = "small\n", ["www/big.txt"] = ("big "):rep(BIG / 4), ["www/unseen.txt"] = "unseen\n" }
        process.write_file(folder .. "/nginx.conf", (CONF:gsub("FOLDER", folder):gsub("PORT", port)))
        n = process.spawn { "nginx", "-p", folder, "-c", folder .. "/nginx.conf", stderr = folder .. "/stderr", stdout = folder .. "/stdout" }
        local limit = process.now() + 5
        while wire.is_refused("127.0.0.1", tonumber(port)) do assert(process.now() < limit and not n:wait(0.01), process.read_file(folder .. "/stderr")) end
        s = server.start { script = (SCRIPT:gsub("PORT", port)) }
    end)
    teardown(function()
        if s then s:stop() end
        if n then n:kill() end
        server.sweep()
    end)
    local function get(path) return require("cjson").decode(s:get(path).body) end

    it("is fetched from: files, codings, redirects, HEAD", function()
        assert.same({ status = 200, bytes = 6, url = "http://127.0.0.1:" .. port .. "/small.txt" }, get "/f/fetch/small.txt")
        local coded = get "/f/fetch/big.txt?coding=gzip"
        assert.equal("gzip", coded.coding)
        assert.is_true(coded.bytes < BIG / 10)
        assert.equal("http://127.0.0.1:" .. port .. "/small.txt", get("/f/fetch/moved").url)
        assert.equal(404, get("/f/fetch/none").status)
        assert.equal("6", s:get("/f/head").body)
        assert.equal(tostring(BIG), s:get("/f/big").body)
    end)

    it("closes kept connections after so many requests, and no fetch fails of that", function()
        assert.matches("^GET %d+$", s:get("/f/many").body)
    end)

    it("answers early to what is too long, and takes what is not", function()
        assert.equal("405", s:get("/f/upload/100").body)
        assert.equal("413", s:get("/f/upload/200000").body)
        assert.equal("405", s:get("/f/upload/1000").body)
    end)

    it("is looked at: conditions, ranges, HEAD and content that is coded", function()
        local first = s:get("/small.txt")
        assert.equal("200", first:get("x-saw"))
        local again = s:get("/small.txt", { ["If-None-Match"] = first:get("etag") })
        assert.equal(304, again.status)
        assert.equal("304", again:get("x-saw"))
        local part = s:get("/small.txt", { Range = "bytes=1-2" })
        assert.equal(206, part.status)
        assert.equal("ma", part.body)
        assert.equal("6", s:connect():head("/small.txt"):get("content-length"))
        local coded = s:get("/small.txt", { ["Accept-Encoding"] = "gzip" })
        assert.equal("gzip", coded:get("content-encoding"))
        assert.equal("\31\139", coded.body:sub(1, 2))
        assert.equal("404", s:get("/none"):get("x-saw"))
        assert.is_nil(s:get("/unseen.txt"):get("x-saw"))
    end)

    it("has its content mapped", function()
        local big = s:get("/big.txt")
        assert.equal(BIG, #big.body)
        assert.equal("BIG BIG ", big.body:sub(1, 8))
    end)
end)
