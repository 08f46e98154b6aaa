/* Stopping Lua code that runs for too long without waiting. The master names a stretch (mg_stats.stop_beat) and sends SIGURG; the code is
 * interrupted by an error at its next instruction that the interpreter sees. Code compiled by LuaJIT into a loop that leaves it nowhere is not
 * stopped: that is what the master's second limit is for. */
#pragma once

struct lua_State;
struct mg_worker;

/* Once, before scripts run. Both must live as long as signals may come. */
void overrun_watch(struct lua_State *main, struct mg_worker *w);
void overrun_forget(void);
