-- The default configuration: `moongate run` serves it as it is. Every setting stands here with its default and what it does,
-- so nothing changes when a line is deleted. Check your own with `moongate check FILE`.
--
-- Durations are written "300ms", "10s", "5m", "1h"; sizes "16k", "1m", "2g". Names of files count from the folder of this file.
return {
  -- What `moongate stop` and `status` call this instance (--name). By default the name of the config's file.
  name = "moongate",

  -- Where to listen, one address or a list: "127.0.0.1:8080", ":8080" (all interfaces), "[::1]:8080", "unix:/run/site.sock".
  -- Port 0 takes a free one and prints it.
  listen = { "127.0.0.1:8080" },

  -- Processes that serve, 1 to 256. "auto": one for each processor that we may use.
  workers = "auto",

  -- What moves the bytes: "io_uring", "epoll", or "auto": io_uring, and epoll (at more CPU time) where a container or a kernel refuses it.
  engine = "auto",

  -- The site: a file that returns an app, or an app made right here.
  app = "site.lua",

  -- Other sites by host, each an app or its file. What none of them names goes to `app`.
  hosts = {
    -- ["blog.example.org"] = "examples/hello.lua",
    -- ["*.example.org"]    = "examples/static.lua", -- any depth below example.org, not example.org itself
  },

  -- What one client, or all of them, may take. Each limit has an answer; none ends a worker.
  limits = {
    line         = "8k",    -- longest request line; beyond it 414
    head         = "16k",   -- longest request head; beyond it 431
    fields       = 100,     -- most field lines of a request; beyond it 431
    body         = "1m",    -- longest request body, unless the route says otherwise; beyond it 413
    head_time    = "10s",   -- from the first byte of a request to the end of its head; beyond it 408
    body_time    = "30s",   -- between two pieces of a request body; beyond it 408
    body_rate    = "256",   -- least bytes a second of a body while it is waited for, after the first body_time; below it 408; 0: none
    handler_time  = "1s",   -- a handler or a task runs without waiting; then it is stopped, its request answered 503; 0: no limit
    handler_grace = "4s",   -- code that cannot be stopped goes on after that; then its worker is replaced
    request_time = "60s",   -- from a request's head to the beginning of its answer, but for waiting for its body; then its handler is cancelled: 503
    tasks        = 10000,   -- tasks of one worker (mg.spawn, after, every, all …); beyond it whoever begins another fails: 503
    task_wait    = "5m",    -- one wait for other tasks (join, all, any, race) without a time of its own; then nil, "timeout"; 0: no limit
    hook_time    = "30s",   -- an on_start, on_stop or on_done hook, and a cancelled task until its end; then they are ended; 0: no limit
    lua_memory   = "256m",  -- memory of one worker for scripts; beyond it the request or task that asks for more is stopped: 503
    idle         = "60s",   -- a connection without a request; then it is closed
    write_stall  = "30s",   -- a client takes nothing of an answer that waits for it; then its connection is reset
    linger       = "2s",    -- reading on after an error answer, so that the client can read it
    pipeline     = 64,      -- requests of one connection running at once; beyond it reading pauses
    connections  = 10000,   -- connections of one worker; beyond it accepting pauses
    requests     = 4096,    -- requests of one worker running at once; beyond it reading pauses
    buffers      = "128m",  -- memory of one worker for output, and as much for kept input; beyond it a connection is closed
    unread       = "256k",  -- of a body that no handler read, this much is read and dropped; beyond it the connection is closed
    upstream_connect = "5s",  -- one attempt to connect to a server of an upstream; then another one is asked, or 504
    upstream_send    = "30s", -- a server takes nothing of a request that is waiting for it; then 504
    upstream_head    = "60s", -- from the end of a request to the head of the server's answer; beyond it 504
    upstream_between = "60s", -- between two pieces of a server's answer; beyond it the answer is cut off
    upstream_total   = 0,     -- a proxied request from its beginning to the last byte of its answer; beyond it 504; 0: no limit
    tunnel       = "1h",    -- a tunnel (a WebSocket) on which neither side says anything; then it ends
    replay       = "32k",   -- longest proxied request, its body included, that is kept to be sent to another server
    cache        = "64m",   -- memory of all workers for files; beyond it those asked for least are given up
    cache_file   = "4m",    -- largest file kept in memory; larger ones are read while they are sent
    fetches      = 1024,    -- requests of one worker's scripts to other servers (mg.fetch) open at once; beyond it another fails
    fetch_unread = "60s",   -- content of such a response waits to be read, and its server with it; then it is given up; 0: no limit
    window       = "64k",   -- bytes of one stream waiting to be sent before its writer waits
  },

  -- How long requests may go on after `stop`, before they are cut off.
  drain = "30s",

  -- Proxies in front of this gateway, by address or network ("10.0.0.0/8", "::1"; "unix": all that come by a socket file). What these say of
  -- a client (X-Forwarded-For and the like) is believed: in req.remote, in the access log, and for what is passed on. Of others it is not.
  trusted_proxies = {},

  -- The Server field of answers. false: none.
  server = "moongate",

  -- Shows clients what went wrong, with file and line. For development (--debug).
  debug = false,

  -- Sizes of the dictionaries that all workers share, by name: { sessions = "64m" }. mg.shared(name) makes others as it goes, with 16m.
  shared = {},

  -- When the files that it is made of are loaded anew: "manual" (`moongate reload`, SIGHUP), or "watch": whenever one is saved (--watch).
  reload = "manual",

  log = {
    access = "off",       -- a line for each request: "off", "-" (standard error) or a file
    format = "combined",  -- of that line: "combined" or "json"
    errors = "-",         -- everything else: "-" or a file
    level  = "info",      -- the least that is told: "debug", "info", "warn" or "error"
  },
}
