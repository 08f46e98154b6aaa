/* A signal sets a hook, and the hook raises an error where a script runs. */
#include "abi/overrun.h"

#include <lua.h>
#include <signal.h>

#include "abi/script.h"
#include "gate/gate.h"

static lua_State *main_state;
static struct mg_worker *worker;

/* Is the stretch still running that is to be stopped? */
static int is_meant(void)
{
    const struct mg_stats *stats = worker->stats;
    return stats->busy && stats->stop_beat != 0 && stats->stop_beat == stats->beat;
}

static void stop(lua_State *L, lua_Debug *event)
{
    lua_Debug at;
    (void)event;
    if (L == main_state || !is_meant()) {
        lua_sethook(main_state, NULL, 0, 0);
        return;
    }
    if (!script_at(L, &at))
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
