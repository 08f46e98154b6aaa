/* A signal sets a hook, and the hook raises an error where a script runs. */
#include "abi/overrun.h"

#include <lua.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "gate/gate.h"

static lua_State *main_state;
static struct mg_worker *worker;

/* Is the stretch still running that is to be stopped? */
static int is_meant(void)
{
    const struct mg_stats *stats = worker->stats;
    return stats->busy && stats->stop_beat != 0 && stats->stop_beat == stats->beat;
}

/* In our own modules an error would leave something half way between two states. Those that only read what a client or a script gave, and may
 * be long about it, are as good as a script. */
static int is_delicate(const char *source)
{
    static const char *const readers[] = { "/json.lua", "/form.lua", "/multipart.lua", "/query.lua", "/cookies.lua", "/inflate.lua" };
    const char *own = strstr(source, "moongate/");
    if (strncmp(source, "=moongate", 9) != 0 && !(own && strstr(source, "lua/moongate/")))
        return 0;
    for (size_t i = 0; own && i < sizeof readers / sizeof *readers; i++)
        if (strstr(own, readers[i]))
            return 0;
    return 1;
}

/* The innermost Lua function; 0: there is none. */
static int find_lua(lua_State *L, lua_Debug *ret_at)
{
    for (int level = 0; lua_getstack(L, level, ret_at); level++)
        if (lua_getinfo(L, "Sl", ret_at) && ret_at->currentline > 0)
            return 1;
    return 0;
}

static void stop(lua_State *L, lua_Debug *event)
{
    lua_Debug at;
    (void)event;
    if (L == main_state || !is_meant()) {
        lua_sethook(main_state, NULL, 0, 0);
        return;
    }
    if (!find_lua(L, &at) || is_delicate(at.source))
        return; /* at the next instruction, perhaps */
    worker->border.overrun = 1;
    int ms = (int)worker->stats->soft_ms, whole = ms % 1000 == 0;
    lua_pushfstring(L, "%s:%d: ran for longer than %d%s without waiting (limits.handler_time)", at.short_src, at.currentline,
                    whole ? ms / 1000 : ms, whole ? "s" : "ms");
    lua_error(L);
}

/* lua_sethook() may be called from a signal handler: it only sets fields, and lets the interpreter look at them. */
static void hear(int number)
{
    (void)number;
    if (main_state && is_meant())
        lua_sethook(main_state, stop, LUA_MASKCALL | LUA_MASKRET | LUA_MASKCOUNT, 1);
}

void overrun_watch(lua_State *main, struct mg_worker *w)
{
    struct sigaction action = { .sa_handler = hear, .sa_flags = SA_RESTART };
    main_state = main;
    worker = w;
    sigemptyset(&action.sa_mask);
    sigaction(SIGURG, &action, NULL);
}

void overrun_forget(void)
{
    signal(SIGURG, SIG_IGN);
    main_state = NULL;
}
