--- A scripted name server for specs: a forked child that answers from a zone, which the spec may change at any time.
---
---     local names = dns.start "api.test A 60 127.0.0.1"          -- lines: NAME TYPE TTL DATA; of TYPE A, AAAA and SRV
---     … names.address …
---     names:zone "api.test FAIL 0 -"                              -- FAIL: SERVFAIL; SILENT: no answer; CUT: truncated, so that TCP is asked
---     names:asked()                                               -- "A api.test" …, so far
local socket = require "socket"
local process = require "t.support.process"
local server = require "t.support.server"

local M = {}
local dns = {}
dns.__index = dns
local living = {}

local TYPES = { A = 1, AAAA = 28, SRV = 33 }
local NAMES = { [1] = "A", [28] = "AAAA", [33] = "SRV" }

local function u16(n) return string.char(math.floor(n / 256) % 256, n % 256) end
local function u32(n) return u16(math.floor(n / 65536)) .. u16(n % 65536) end

local function encode(name)
    local parts = {}
    for label in name:gmatch("[^.]+") do parts[#parts + 1] = string.char(#label) .. label end
    return table.concat(parts) .. "\0"
end

--- The name and type of a question.
local function question(query)
    local labels, at = {}, 13
    while query:byte(at) and query:byte(at) > 0 do
        local bytes = query:byte(at)
        labels[#labels + 1] = query:sub(at + 1, at + bytes)
        at = at + 1 + bytes
    end
    return table.concat(labels, "."):lower(), query:byte(at + 1) * 256 + query:byte(at + 2), query:sub(13, at + 4)
end

local data = {
    A = function(text) return (text:gsub("(%d+)%.?", function(n) return string.char(tonumber(n)) end)) end,
    AAAA = function(text) assert(text == "::1") return ("\0"):rep(15) .. "\1" end,
    SRV = function(text)
        local priority, weight, port, target = text:match("^(%d+) (%d+) (%d+) (%S+)$")
        return u16(tonumber(priority)) .. u16(tonumber(weight)) .. u16(tonumber(port)) .. encode(target)
    end,
}

--- Records of the zone for a name, all types; its special word, if any.
local function records(path, name)
    local found, special = {}, nil
    for line in process.read_file(path):gmatch("[^\n]+") do
        local of, kind, ttl, text = line:match("^%s*(%S+) (%S+) (%d+) (.+)$")
        if of == name and TYPES[kind] then found[#found + 1] = { kind = kind, ttl = tonumber(ttl), text = text } end
        if of == name and not TYPES[kind] then special = kind end
    end
    return found, special
end

local function answer(query, path, over_tcp)
    local name, kind, asked = question(query)
    local found, special = records(path, name)
    local log = assert(io.open(path .. ".asked", "a"))
    log:write(NAMES[kind] or kind, " ", name, over_tcp and " tcp" or "", "\n")
    log:close()
    if special == "SILENT" then return nil end
    if special == "CUT" and not over_tcp then return query:sub(1, 2) .. "\131\128" .. u16(1) .. ("\0"):rep(6) .. asked end
    local body, count = {}, 0
    for _, record in ipairs(found) do
        if TYPES[record.kind] == kind then
            local bytes = data[record.kind](record.text)
            body[#body + 1] = "\192\12" .. u16(kind) .. u16(1) .. u32(record.ttl) .. u16(#bytes) .. bytes
            count = count + 1
        end
    end
    local code = special == "FAIL" and 2 or #found == 0 and 3 or 0
    return query:sub(1, 2) .. "\129" .. string.char(128 + code) .. u16(1) .. u16(count) .. u16(0) .. u16(0) .. asked .. table.concat(body)
end

local function serve_tcp(listener, path)
    local client = listener:accept()
    if not client then return end
    client:settimeout(0.3)
    while true do
        local length = client:receive(2)
        local query = length and client:receive(length:byte(1) * 256 + length:byte(2))
        if not query then break end
        local text = answer(query, path, true)
        if text then client:send(u16(#text) .. text) end
    end
    client:close()
end

local function serve(udp, tcp, path)
    while true do
        local ready = socket.select({ udp, tcp }, nil, 600)
        if ready[udp] then
            local query, host, port = udp:receivefrom()
            local text = query and answer(query, path, false)
            if text then udp:sendto(text, host, port) end
        end
        if ready[tcp] then serve_tcp(tcp, path) end
    end
end

--- Both protocols on one port.
local function open()
    for _ = 1, 50 do
        local tcp = assert(socket.tcp4())
        assert(tcp:bind("127.0.0.1", 0))
        assert(tcp:listen(16))
        local _, port = tcp:getsockname()
        local udp = assert(socket.udp4())
        if udp:setsockname("127.0.0.1", port) then return udp, tcp, port end
        tcp:close()
        udp:close()
    end
    error("no port is free for both protocols")
end

function M.start(zone)
    local path = server.folder { zone = zone or "" } .. "/zone"
    local udp, tcp, port = open()
    local child = process.fork({ udp:getfd(), tcp:getfd() }, function() serve(udp, tcp, path) end)
    udp:close()
    tcp:close()
    local self = setmetatable({ path = path, process = child, address = "127.0.0.1:" .. port }, dns)
    living[self] = true
    return self
end

--- From now on these records and no others.
function dns:zone(text)
    process.write_file(self.path .. ".new", text)
    assert(os.rename(self.path .. ".new", self.path))
end

--- What it was asked, one question a line.
function dns:asked()
    local file = io.open(self.path .. ".asked")
    local text = file and file:read("*a") or ""
    if file then file:close() end
    return text
end

function dns:stop()
    if not living[self] then return end
    living[self] = nil
    self.process:kill()
end

--- For `after_each`.
function M.sweep()
    for one in pairs(living) do one:stop() end
end

return M
