/* The memory that Lua may have in a worker (limits.lua_memory). LuaJIT's own allocator serves; here it is counted what it gives, and code of
 * scripts is stopped when there would be too much: by an error where it runs as soon as a collection has shown that it is no garbage, or, when
 * one piece is beyond the limit, by LuaJIT's "not enough memory". The gateway's own work, after it, is not refused.
 *
 *   0 ──────────── hurry (5/8) ──────────── full (7/8) ──────── most
 *     as LuaJIT does      it collects faster     whose code grew is stopped     nobody gets more */
#pragma once

struct lua_State;
struct mg_worker;

/* Once, before scripts run. There is no limit until memory_adapt(). */
void memory_watch(struct lua_State *main, struct mg_worker *w);
/* The settings have changed. */
void memory_adapt(const struct mg_worker *w);
/* Before the state is closed. */
void memory_forget(void);
/* Why the last allocation was refused, in a sentence: its length. */
int memory_told(char *ret, unsigned bytes);
