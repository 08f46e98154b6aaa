/* X(field, config key, kind, default, least, most, what it is and what happens beyond it)
 * Every limit of a worker, once: the struct that C reads, the schema and defaults that the config knows, and the
 * documentation. Kinds: BYTES ("16k"), MS ("300ms", "10s"), COUNT. */
X(line_bytes, "limits.line", BYTES, 8192, 64, 61440, "longest request line; beyond it 414")
X(head_bytes, "limits.head", BYTES, 16384, 128, 61440, "longest request head; beyond it 431")
X(field_count, "limits.fields", COUNT, 100, 1, 128, "most field lines of a request; beyond it 431")
X(body_bytes, "limits.body", BYTES, 1048576, 0, 1e15, "longest request body unless the route says otherwise; beyond it 413")
X(head_ms, "limits.head_time", MS, 10000, 10, 3.6e6, "from the first byte of a request to the end of its head; beyond it 408")
X(body_ms, "limits.body_time", MS, 30000, 10, 3.6e6, "between two pieces of a request body; beyond it 408")
X(body_rate, "limits.body_rate", BYTES, 256, 0, 1e9,
  "least bytes a second of a request body while it is waited for, after the first limits.body_time; below it 408; 0: none")
X(handler_ms, "limits.handler_time", MS, 1000, 0, 3.6e6,
  "a handler, or a task, runs without waiting; then it is stopped, and its request answered 503; 0: no limit")
X(grace_ms, "limits.handler_grace", MS, 4000, 10, 3.6e6, "code that cannot be stopped goes on after that; then its worker is replaced")
X(request_ms, "limits.request_time", MS, 60000, 0, 8.64e7,
  "from a request's head to the beginning of its answer, but for waiting for its body; then its handler is cancelled: 503; 0: no limit")
X(tasks, "limits.tasks", COUNT, 10000, 16, 1e6, "tasks of one worker (mg.spawn, after, every, all …); beyond it whoever begins another fails: 503")
X(task_wait_ms, "limits.task_wait", MS, 300000, 0, 8.64e7,
  "one wait for other tasks (join, all, any, race) unless a time is given with it; then it returns nil, a message and the code timeout; 0: no limit")
X(hook_ms, "limits.hook_time", MS, 30000, 0, 3.6e6,
  "an on_start, on_stop or on_done hook, and a cancelled task until its end; then it is cancelled, or given up; 0: no limit")
X(lua_bytes, "limits.lua_memory", BYTES, 268435456, 16777216, 1e12,
  "memory of one worker for scripts; beyond it the request or task that asks for more is stopped, and answered 503")
X(idle_ms, "limits.idle", MS, 60000, 10, 8.64e7, "a connection without a request; then it is closed")
X(write_ms, "limits.write_stall", MS, 30000, 10, 3.6e6, "a client takes nothing of an answer that is waiting; then the connection is reset")
X(linger_ms, "limits.linger", MS, 2000, 0, 60000, "reading on after an error answer, so that the client can read it")
X(pipeline, "limits.pipeline", COUNT, 64, 1, 64, "requests of one connection running at once; beyond it reading pauses")
X(connections, "limits.connections", COUNT, 10000, 8, 1e6, "connections of one worker; beyond it accepting pauses")
X(requests, "limits.requests", COUNT, 4096, 16, 65536, "requests of one worker running at once; beyond it reading pauses")
X(buffer_bytes, "limits.buffers", BYTES, 134217728, 1048576, 4e9,
  "memory of one worker for output, and as much for kept input; beyond it the connection that asks for more is closed")
X(unread_bytes, "limits.unread", BYTES, 262144, 0, 1e9,
  "of a body that no handler read, this much is read and dropped; beyond it the connection is closed")
X(connect_ms, "limits.upstream_connect", MS, 5000, 10, 3.6e6, "one attempt to connect to a server of an upstream; then another one is asked, or 504")
X(upstream_send_ms, "limits.upstream_send", MS, 30000, 10, 3.6e6, "a server takes nothing of a request that is waiting for it; then 504")
X(upstream_head_ms, "limits.upstream_head", MS, 60000, 10, 8.64e7, "from the end of a request to the head of the server's answer; beyond it 504")
X(upstream_between_ms, "limits.upstream_between", MS, 60000, 10, 8.64e7, "between two pieces of a server's answer; beyond it the answer is cut off")
X(upstream_total_ms, "limits.upstream_total", MS, 0, 0, 8.64e7,
  "a proxied request from its beginning to the last byte of its answer; beyond it 504, or cut off; 0: no limit")
X(tunnel_ms, "limits.tunnel", MS, 3.6e6, 10, 8.64e7, "a tunnel (a WebSocket) on which neither side says anything; then it ends")
X(replay_bytes, "limits.replay", BYTES, 32768, 1024, 16777216, "longest proxied request, its body included, that is kept to be sent to another server")
X(cache_bytes, "limits.cache", BYTES, 67108864, 0, 1e12, "memory of all workers for files; beyond it those asked for least are given up")
X(cache_file_bytes, "limits.cache_file", BYTES, 4194304, 0, 1e9, "largest file kept in memory; larger ones are read while they are sent")
X(fetches, "limits.fetches", COUNT, 1024, 1, 16384, "requests of one worker's scripts to other servers (mg.fetch) open at once; beyond it another fails")
X(unread_ms, "limits.fetch_unread", MS, 60000, 0, 8.64e7,
  "content of such a response waits to be read, and its server with it; then it is given up; 0: no limit")
X(window_bytes, "limits.window", BYTES, 65536, 4096, 16777216, "bytes of one stream waiting to be sent before its writer waits")
