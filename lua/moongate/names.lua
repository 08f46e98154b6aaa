--- What the things have that a site is written with: `mg`, apps, requests, and what handlers are given. Says what was probably meant by a
--- name that is not there. A spec compares these lists with the code.
local schema = require "moongate.schema"

local M = {}

---@class moongate.Names
---@field members table<string, string> name → ":" (a method), "." (a function) or "=" (a value)
---@field list string[] the names, sorted
---@field settable table<string, boolean> what may be assigned
---@field instead table<string, string> what to write for a name that other systems have
---@field title? string what it is called in a text

local function kind(spec)
    local made = { members = {}, list = {}, settable = {}, instead = spec.instead or {}, title = spec.title }
    for mark, words in pairs { [":"] = spec.methods, ["."] = spec.functions, ["="] = spec.values } do
        for name in words:gmatch("[%w_]+") do
            made.members[name] = mark
            made.list[#made.list + 1] = name
        end
    end
    for name in (spec.settable or ""):gmatch("[%w_]+") do made.settable[name] = true end
    table.sort(made.list)
    return made
end

local LISTED_MAX = 12

local BODY = "the content is asked for with req:text(), req:json() or req:form()"
local ARGUMENTS = "what the query says is in req.query, captures of the path are in req.params"

M.kinds = {
    mg = kind {
        functions = [[after all any app array channel escape every extend_request fetch file html json log lru mutex now proxy race raise redirect
            respond semaphore shared sleep spawn split sse stream text time timeout upstream wait_group worker]],
        values = "crypto decode encode null re",
        instead = {
            get = "routes are written on an app: local app = mg.app(), then app:get(…)", error = "mg.raise(status, message) ends a request",
            print = 'mg.log("info", …) writes to the log', render = "mg.html(body) answers with HTML", send = "return the answer",
            say = "return the answer, or mg.stream(…)", exit = "return a status",
        },
    },
    app = kind {
        methods = [[any delete extend_request files filter get group head host limits mount on_done on_error on_start on_stop options patch post
            proxy put redirect route]],
        values = "",
        instead = {
            use = "app:filter(function(req, next) … end)", before = "app:filter(function(req, next) … end)", run = "return app; moongate run serves it",
            after = "app:filter(function(req, next) … end)", listen = "return app; moongate run --listen says where", all = "app:any(…)",
            static = 'app:files("/*", "public")', del = "app:delete(…)", not_found = 'app:on_error("not-found", …)', serve = "app:files(…)",
            middleware = "app:filter(function(req, next) … end)", location = "app:get(…)", match = "app:any(…)", add_route = "app:route(…)",
        },
    },
    req = kind {
        methods = "accepts chunks form forward header_list header_values inflated is_gone json mirror on_done parts save text",
        values = [[authority content_length content_type cookies headers host id method params path port query query_string remote remote_port
            scheme state target version]],
        instead = {
            body = BODY, data = BODY, content = BODY, payload = BODY, files = BODY, post = BODY, args = ARGUMENTS, param = ARGUMENTS,
            uri = "req.path is the path, req.target the whole as it came", url = "req.path is the path, req.target the whole as it came",
            ip = "req.remote is the client's address", address = "req.remote is the client's address", verb = "req.method",
            client_ip = "req.remote is the client's address", remote_addr = "req.remote is the client's address", protocol = "req.scheme",
            user = "req.state keeps what belongs to a request; app:extend_request makes a field", session = "req.state keeps what belongs to a request",
            ctx = "req.state keeps what belongs to a request", context = "req.state keeps what belongs to a request", cookie = "req.cookies",
            get_header = "req.headers[name]", header = "req.headers[name]", get = "req.headers[name]",
        },
    },
    res = kind { methods = "add_header json map set_cookie text", values = "body headers status", settable = "body headers status",
        instead = { code = "res.status", status_code = "res.status", header = "res.headers[name]" } },
    fetched = kind { title = "res", methods = "chunks close header_list header_values json save text", values = "headers ok status url",
        instead = { body = "res:text() is its content, res:json() what that says", code = "res.status", status_code = "res.status",
            read = "res:chunks() is its content piece by piece", data = "res:json()", header = "res.headers[name]" } },
    channel = kind { methods = "close receive send values", values = "capacity closed count",
        instead = { push = "send(value)", pop = "receive()", put = "send(value)", get = "receive()", recv = "receive()" } },
    semaphore = kind { methods = "acquire release with", values = "free most", instead = { wait = "acquire()", post = "release()", signal = "release()" } },
    mutex = kind { methods = "lock unlock with", values = "owner", instead = { acquire = "lock()", release = "unlock()" } },
    wait_group = kind { title = "the group", methods = "add done wait", values = "count", instead = { join = "wait()" } },
    shared = kind { title = "the dictionary",
        methods = "add delete expire flush get incr keys limit llen lpop lpush replace rpop rpush scan set set_if_room status ttl update",
        values = "name",
        instead = { put = "set(key, value, ttl)", remove = "delete(key)", push = "rpush(key, value) or lpush(key, value)", pop = "rpop(key) or lpop(key)",
            safe_set = "set_if_room(key, value, ttl)", get_keys = "keys(prefix, most)", flush_all = "flush()", increment = "incr(key, by, initial, ttl)",
            del = "delete(key)", cas = "update(key, fn)", free_space = "status()", capacity = "status()" } },
    out = kind { methods = "drain flush is_gone write", values = "",
        instead = { print = "out:write(text)", send = "out:write(text)", close = "a stream ends when its function returns",
            finish = "a stream ends when its function returns", ["end"] = "a stream ends when its function returns" } },
    events = kind { methods = "comment is_gone send", values = "",
        instead = { write = "events:send(text)", close = "a stream ends when its function returns", event = "events:send { event =, data = }" } },
    err = kind { methods = "", values = "id kind message raised status traceback value", settable = "id kind message raised status traceback value",
        instead = { code = "err.status", text = "err.message", stack = "err.traceback" } },
}

--- Options that functions of `mg` take as a table, by argument.
M.options = {
    stream = { argument = 2, names = { "headers", "length", "status", "type" } },
    sse = { argument = 2, names = { "headers", "status" } },
    file = { argument = 2, names = { "headers", "status", "type" } },
    respond = { argument = 1, names = { "body", "cookies", "headers", "reason", "status", "type" } },
}

--- Writes a member the way it is used: `app:get`, `req.path`.
local function written(what, name)
    local known = M.kinds[what]
    return (known.title or what) .. (known.members[name] == ":" and ":" or ".") .. name
end
M.written = written

--- What to say about a name that is not there.
---@param what string one of M.kinds
---@param name any
---@param others? string[] names that are there besides
---@return string message
---@return string hint
---@return string? near the name that was meant, most likely
function M.missing(what, name, others)
    local names = M.kinds[what]
    local title = names.title or what
    local message = ("%s has no %s"):format(title, schema.shown(name))
    if type(name) ~= "string" then return message, ("what %s has is called by name, as in %s"):format(title, written(what, names.list[1])) end
    if names.instead[name] then return message, names.instead[name] end
    local all = { unpack(names.list) }
    for _, other in ipairs(others or {}) do all[#all + 1] = other end
    local near = schema.nearest(name, all)
    if near then return message, ("did you mean %s?"):format(written(what, near)), near end
    if #all > LISTED_MAX then return message, ("what %s has is listed in lua/README.md"):format(title) end
    return message, ("%s has: %s"):format(title, table.concat(all, ", "))
end

--- What to say when one is assigned that cannot be.
function M.unsettable(what, name)
    if what == "req" then return ("req.%s cannot be set"):format(name), "what belongs to this request is kept in req.state" end
    if what == "res" then return ("a response has no %s to set"):format(schema.quoted(name)), "it has status, body and headers; see res:add_header too" end
    return ("%s.%s cannot be set"):format(what, name), "keep it in a local of your own"
end

return M
