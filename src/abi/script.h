/* Where a script is: for what interrupts it with an error (overrun.c, memory.c). */
#pragma once

struct lua_Debug;
struct lua_State;

/* The innermost Lua function into `ret_at` (source and line). 0: there is none, or it is one of our own modules, in which an error would leave
 * something half way between two states. */
int script_at(struct lua_State *L, struct lua_Debug *ret_at);
