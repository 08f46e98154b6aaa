/* An allocator around LuaJIT's. Called for each allocation: what is below the first mark costs an addition and a comparison. */
#include "abi/memory.h"

#include <lua.h>
#include <stdio.h>

#include "abi/script.h"
#include "gate/gate.h"

enum { PARTS = 16 /* of the limit */, PIECE_BYTES = 65536 };
enum { STEPMUL = 200, STEPMUL_HURRIED = 8000, STEPMUL_MOST = 100000000 /* LuaJIT multiplies it by 10, in 32 bits */ };

static struct {
    lua_State *main;
    struct mg_worker *worker;
    lua_Alloc below;
    void *below_data;
    size_t used, hurry, full, most; /* the marks: SIZE_MAX when there is no limit */
    size_t hurried_at;              /* `used` when the collector was last told to begin; 0: it is at its own pace */
    int pace;                       /* the collector's step multiplier */
    size_t asked;                   /* by the allocation that was refused last; 0: none was */
    double beat;                    /* the stretch of code that runs, see heart.h, */
    size_t before;                  /* and `used` when it came first beyond the first mark */
} memory;

static void stop(lua_State *L, lua_Debug *event);

/* LuaJIT's collector begins when twice as much is used as it left the last time: that may be beyond the limit. It is told to begin when
 * there is a part more than at the last time, and goes on in steps, one for an allocation: where pieces are great, steps must be, else compiled
 * code that makes nothing but garbage is at the limit before the cycle ends. Only sets fields. */
static void hurry(size_t more)
{
    size_t wanted = more / 5 * 4; /* 8 bytes looked at for each that is made: two cycles between the first mark and the last */
    int pace = wanted < STEPMUL_HURRIED ? STEPMUL_HURRIED : wanted < STEPMUL_MOST ? (int)wanted : STEPMUL_MOST;
    bool began = memory.hurried_at > 0;
    if (began && memory.used < memory.hurried_at)
        memory.hurried_at = memory.used;
    bool is_due = !began || memory.used - memory.hurried_at >= memory.most / PARTS;
    if (!is_due && pace <= memory.pace)
        return;
    memory.pace = pace;
    lua_gc(memory.main, LUA_GCSETSTEPMUL, pace);
    if (!is_due)
        return;
    memory.hurried_at = memory.used;
    lua_gc(memory.main, LUA_GCRESTART, 0);
}

static void calm_down(void)
{
    memory.hurried_at = 0;
    memory.pace = STEPMUL;
    lua_gc(memory.main, LUA_GCSETSTEPMUL, STEPMUL);
}

static void follow_beat(void)
{
    double beat = memory.worker->stats->beat;
    if (beat == memory.beat)
        return;
    memory.beat = beat;
    memory.before = memory.used;
}

/* Has the stretch that runs taken a good part of what there is? Others may go on while there is something left. */
static bool is_grown(void)
{
    return memory.used > memory.before && memory.used - memory.before > memory.most / PARTS;
}

/* What is there may grow a little beyond the limit: it can be the stack of the scheduler, which runs hooks, too, before it can say that it
 * runs. Whoever makes new things gets no further for that. */
static size_t most_for(size_t old, size_t bytes)
{
    return old > 0 && bytes <= PIECE_BYTES ? memory.most + memory.most / PARTS : memory.most;
}

/* Beyond the first mark: may a piece grow (from 0: be made)? */
static bool may_grow(size_t old, size_t bytes)
{
    size_t more = bytes - old;
    struct mg_border *border = &memory.worker->border;
    hurry(more);
    if (!border->bounded)
        return true;
    follow_beat();
    if (memory.used + more > most_for(old, bytes)) {
        border->starved = 1;
        memory.asked = more;
        memory.worker->stats->lua_refused++;
        return false;
    }
    if (memory.used + more > memory.full && is_grown() && !lua_gethook(memory.main))
        lua_sethook(memory.main, stop, LUA_MASKCALL | LUA_MASKRET | LUA_MASKCOUNT, 1);
    return true;
}

static void *bounded(void *data, void *at, size_t old, size_t bytes)
{
    (void)data;
    if (bytes > old && memory.used + (bytes - old) > memory.hurry && !may_grow(old, bytes))
        return NULL;
    void *result = memory.below(memory.below_data, at, old, bytes);
    if (result || bytes == 0) {
        memory.used += bytes - old;
        memory.worker->stats->lua_bytes = memory.used;
        if (memory.hurried_at > 0 && memory.used < memory.hurry / 2)
            calm_down();
    }
    return result;
}

/* A hook: an instruction of a script, or of ours. Garbage is let go first. */
static void stop(lua_State *L, lua_Debug *event)
{
    lua_Debug at;
    struct mg_border *border = &memory.worker->border;
    (void)event;
    if (!border->bounded || memory.used <= memory.full) {
        lua_sethook(memory.main, NULL, 0, 0);
        return;
    }
    if (!script_at(L, &at))
        return; /* at a later instruction */
    lua_gc(L, LUA_GCCOLLECT, 0);
    if (memory.used <= memory.full || !is_grown()) {
        lua_sethook(memory.main, NULL, 0, 0);
        return;
    }
    char told[160];
    border->starved = 1;
    memory.asked = 0;
    memory.worker->stats->lua_refused++;
    memory_told(told, sizeof told);
    lua_pushfstring(L, "%s:%d: %s", at.short_src, at.currentline, told);
    lua_error(L);
}

static double mib(size_t bytes)
{
    return (double)bytes / 1048576;
}

int memory_told(char *ret, unsigned bytes)
{
    if (memory.asked > memory.most / 100) /* else it was the last straw */
        return snprintf(ret, bytes, "not enough memory: Lua has %.1f MiB of %.1f and was asked for %.1f more (limits.lua_memory)", mib(memory.used),
                        mib(memory.most), mib(memory.asked));
    return snprintf(ret, bytes, "not enough memory: Lua has %.1f MiB of %.1f (limits.lua_memory)", mib(memory.used), mib(memory.most));
}

void memory_adapt(const struct mg_worker *w)
{
    double most = w->settings.lua_bytes;
    if (w != memory.worker)
        return; /* one that listens nowhere */
    memory.most = most > 0 ? (size_t)most : SIZE_MAX;
    memory.hurry = most > 0 ? memory.most / 8 * 5 : SIZE_MAX;
    memory.full = most > 0 ? memory.most / 8 * 7 : SIZE_MAX;
}

void memory_watch(lua_State *main, struct mg_worker *w)
{
    memory.main = main;
    memory.worker = w;
    memory.hurry = memory.full = memory.most = SIZE_MAX;
    memory.used = (size_t)lua_gc(main, LUA_GCCOUNT, 0) * 1024 + (size_t)lua_gc(main, LUA_GCCOUNTB, 0);
    memory.below = lua_getallocf(main, &memory.below_data);
    lua_setallocf(main, bounded, NULL);
}

void memory_forget(void)
{
    lua_setallocf(memory.main, memory.below, memory.below_data);
}
