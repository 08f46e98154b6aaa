--- A cache driven from a spec: an engine, a folder on disk, and questions that are waited for within a limit.
---
---     local d = driver.new { bytes_max = 1e6 }
---     d:write("a.txt", "text")
---     local folder = d:open("", "list\n")
---     d:get(folder, "a.txt")       -- { kind = "memory", body = "text", lines = "Content-Type: …", etag = …, error = 0 }
local ffi = require "ffi"
local lfs = require "lfs"
local c = require "t.support.c"
c.header("net/net.h", "file/cache.h")
local lib = c.lib()
lib.http_head_select(0)

local M = { lib = lib }
local driver = {}
driver.__index = driver

local KINDS = { [0] = "loading", "memory", "opened", "directory", "listable", "failed" }
local USER, GUARD, LIMIT_MS = 9, 10, 5000
local living = {}

--- `options`: bytes_max, file_bytes_max; `starved` and `fed` are called around the making of the cache.
function M.new(options)
    local message = ffi.new("char[512]")
    local self = setmetatable({ event = ffi.new("struct net_event") }, driver)
    self.net = lib.net_new(ffi.new("struct net_options", { connections = 8, buffer_bytes = 1048576 }), message, 512)
    assert(self.net ~= nil, ffi.string(message))
    local o = ffi.new("struct file_cache_options", { bytes_max = 1e7, file_bytes_max = 1e5, user = USER })
    local around = { starved = function() end, fed = function() end }
    for key, value in pairs(options or {}) do
        if around[key] then around[key] = value else o[key] = value end
    end
    around.starved()
    self.cache = lib.file_cache_new(self.net, o)
    around.fed()
    self.folder = os.tmpname()
    os.remove(self.folder)
    assert(lfs.mkdir(self.folder))
    living[self] = true
    return self
end

--- For `after_each`.
function M.sweep()
    for self in pairs(living) do
        lib.net_free(self.net)
        lib.file_cache_free(self.cache)
        os.execute("chmod -R u+rwx '" .. self.folder .. "' && rm -rf '" .. self.folder .. "'")
    end
    living = {}
end

function driver:path(name) return name == "" and self.folder or self.folder .. "/" .. name end

function driver:mkdir(...)
    for _, name in ipairs { ... } do assert(lfs.mkdir(self:path(name))) end
end

--- Writes a file in place, or with `aged` as if it had been there for long.
function driver:write(name, text, aged)
    local f = assert(io.open(self:path(name), "w"))
    f:write(text)
    f:close()
    if aged ~= false then assert(lfs.touch(self:path(name), aged or 1600000000)) end
end

--- Puts a file in place of another.
function driver:replace(name, text)
    self:write(name .. ".new", text)
    assert(os.rename(self:path(name .. ".new"), self:path(name)))
end

function driver:link(target, name) assert(require "posix.unistd".link(target, self:path(name), true)) end

--- A folder by its name below the driver's own, or absolute; its handle.
function driver:open(name, options)
    local path = name:sub(1, 1) == "/" and name or self:path(name)
    options = options or ""
    return lib.file_folder_open(self.cache, ffi.new("struct slice", { path, #path }), ffi.new("struct slice", { options, #options }))
end

--- One turn; `wait` 0 does not sleep.
function driver:turn(wait)
    assert(lib.net_turn(self.net, wait or 1) == 0)
    while lib.net_event_next(self.net, self.event) ~= 0 do
        assert(self.event.user ~= GUARD, "it did not happen within five seconds")
        lib.file_cache_on_net(self.cache, self.event)
    end
end

--- Turns until `condition()`.
function driver:run(condition)
    local guard = lib.net_timer_start(self.net, LIMIT_MS, GUARD, 0)
    while not condition() do self:turn() end
    lib.net_timer_stop(self.net, guard)
end

--- Turns for so many milliseconds.
function driver:run_ms(ms)
    local over = lib.net_now_ms(self.net) + ms
    while lib.net_now_ms(self.net) < over do
        local timer = lib.net_timer_start(self.net, 2, GUARD + 1, 0)
        assert(lib.net_turn(self.net, 1) == 0)
        while lib.net_event_next(self.net, self.event) ~= 0 do
            if self.event.user ~= GUARD + 1 then lib.file_cache_on_net(self.cache, self.event) end
        end
        lib.net_timer_stop(self.net, timer)
    end
end

local function text(slice) return ffi.string(slice.at, slice.bytes) end

local function body_of(form)
    if form.loan ~= nil then return ffi.string(form.bytes, form.version.size) end
    local f = assert(io.open("/proc/self/fd/" .. form.fd))
    local body = f:read("*a")
    f:close()
    return body
end

local function describe_form(form)
    local count = form.type_bytes + form.length_bytes + form.other_bytes
    return { body = body_of(form), lines = ffi.string(form.lines, count), etag = ffi.string(form.version.etag, form.version.etag_bytes),
             modified = tonumber(form.version.modified_s) }
end

local function describe_entry(entry)
    local kind = KINDS[tonumber(lib.file_entry_kind(entry))]
    local form = lib.file_entry_form(entry)
    local result = (kind == "memory" or kind == "opened") and describe_form(form) or {}
    result.kind, result.error = kind, lib.file_entry_error(entry)
    return result
end

--- Asks without waiting: what file_cache_get() gives, and the entry when it is here.
function driver:ask(folder, path, wait, order)
    local entry = ffi.new("struct file_entry *[1]")
    local rc = lib.file_cache_get(self.cache, folder, ffi.new("struct slice", { path, #path }), order and order:byte() or 0, wait, entry)
    return rc, entry[0]
end

--- Waits until `wait` need wait no more.
function driver:wait_for(wait)
    self:run(function()
        local done = lib.file_cache_next(self.cache)
        assert(done == nil or done == ffi.cast("struct file_wait *", wait))
        return done ~= nil
    end)
end

--- What is at a path; { kind = "failed", error = } when there is nothing.
function driver:get(folder, path, order)
    local wait = ffi.new("struct file_wait")
    for _ = 1, 20 do
        local rc, entry = self:ask(folder, path, wait, order)
        if rc < 0 then return { kind = "failed", error = rc } end
        if rc == 1 then
            local result = describe_entry(entry)
            lib.file_cache_leave(self.cache, wait)
            return result
        end
        self:wait_for(wait)
    end
    error("asked for ever: " .. path)
end

--- A file's representation in a coding, or nil; `make` false: only a sibling.
function driver:coded(folder, path, coding, make)
    local wait = ffi.new("struct file_wait")
    local form = ffi.new("const struct file_form *[1]")
    for _ = 1, 20 do
        local rc, entry = self:ask(folder, path, wait)
        if rc == 0 then
            self:wait_for(wait)
        elseif rc == 1 then
            lib.file_entry_ref(entry)
            rc = lib.file_cache_coded(self.cache, entry, ({ zstd = 0, br = 1, gzip = 2 })[coding], make == false and 0 or 1, wait, form)
            if rc == 0 then self:wait_for(wait) end
            local result = rc == 1 and describe_form(form[0]) or nil
            lib.file_entry_unref(self.cache, entry)
            if rc ~= 0 then
                lib.file_cache_leave(self.cache, wait)
                return result
            end
        else
            return nil
        end
    end
    error("asked for ever: " .. path)
end

function driver:facts()
    local facts = ffi.new("struct file_cache_facts")
    lib.file_cache_facts(self.cache, facts)
    return facts
end

--- How many loads `fn` makes.
function driver:loads(fn)
    local before = self:facts().loads
    fn()
    return tonumber(self:facts().loads - before)
end

function driver:notice()
    local notice = lib.file_cache_notice(self.cache)
    return notice ~= nil and ffi.string(notice) or nil
end

M.text = text

return M
