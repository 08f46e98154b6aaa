/* Starting LuaJIT: libraries, the embedded modules, the arguments; then one module runs. Nothing else in C knows lua_State. */
#include "abi/vm.h"

#include <lauxlib.h>
#include <lua.h>
#include <luajit.h>
#include <lualib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "abi/embedded.h"
#include "abi/memory.h"
#include "abi/overrun.h"
#include "abi/dict_use.h"
#include "gate/gate.h"

int luaopen_cjson(lua_State *L);
int luaopen_cjson_safe(lua_State *L);

/* ---- modules ---- */

static int load_embedded(lua_State *L, const struct embedded *file)
{
    char chunk[128];
#ifdef MG_LUA_DIR
    char path[512];
    snprintf(path, sizeof path, "%s/%s", MG_LUA_DIR, file->name);
    for (char *p = path + strlen(MG_LUA_DIR); *p; p++)
        *p = *p == '.' ? '/' : *p;
    strncat(path, strcmp(file->name, "moongate") == 0 ? "/init.lua" : ".lua", sizeof path - strlen(path) - 1);
    return luaL_loadfile(L, path);
#endif
    bool init = strcmp(file->name, "moongate") == 0;
    snprintf(chunk, sizeof chunk, "=%s%s.lua", file->name, init ? "/init" : "");
    for (char *p = chunk; p < chunk + strlen(file->name) + 1; p++)
        *p = *p == '.' ? '/' : *p;
    return luaL_loadbuffer(L, file->text, file->bytes, chunk);
}

/* package.preload[name] of each embedded module. */
static int open_embedded(lua_State *L)
{
    const struct embedded *file = lua_touserdata(L, lua_upvalueindex(1));
    if (load_embedded(L, file) != 0)
        return lua_error(L);
    lua_pushvalue(L, 1);
    lua_call(L, 1, 1);
    return 1;
}

static void preload(lua_State *L)
{
    lua_getglobal(L, "package");
    lua_getfield(L, -1, "preload");
    for (const struct embedded *file = embedded_files; file->name; file++) {
        if (strcmp(file->name, "moongate.cdef") == 0)
            continue;
        lua_pushlightuserdata(L, (void *)file);
        lua_pushcclosure(L, open_embedded, 1);
        lua_setfield(L, -2, file->name);
    }
    lua_pushcfunction(L, luaopen_cjson);
    lua_setfield(L, -2, "cjson");
    lua_pushcfunction(L, luaopen_cjson_safe);
    lua_setfield(L, -2, "cjson.safe");
    lua_pop(L, 1);
    lua_getfield(L, -1, "loaded");
    for (const struct embedded *file = embedded_files; file->name; file++) {
        if (strcmp(file->name, "moongate.cdef") != 0)
            continue;
        lua_pushlstring(L, file->text, file->bytes);
        lua_setfield(L, -2, file->name);
    }
    lua_pop(L, 2);
}

/* ---- arguments ---- */

static void set_string(lua_State *L, const char *key, const char *value)
{
    if (!value)
        return;
    lua_pushstring(L, value);
    lua_setfield(L, -2, key);
}

static void set_list(lua_State *L, const char *key, const char *const *values, int count)
{
    lua_createtable(L, count, 0);
    for (int i = 0; i < count; i++) {
        lua_pushstring(L, values[i]);
        lua_rawseti(L, -2, i + 1);
    }
    lua_setfield(L, -2, key);
}

static void push_options(lua_State *L, const struct vm_options *options)
{
    lua_newtable(L);
    set_string(L, "command", options->command);
    set_string(L, "file", options->file);
    set_string(L, "workers", options->workers);
    set_string(L, "engine", options->engine);
    set_string(L, "name", options->name);
    set_string(L, "answer", options->answer);
    set_list(L, "arguments", options->arguments, options->argument_count);
    set_list(L, "listen", options->listen, options->listen_count);
    set_list(L, "fields", options->fields, options->field_count);
    lua_pushboolean(L, options->debug);
    lua_setfield(L, -2, "debug");
    lua_pushboolean(L, options->json);
    lua_setfield(L, -2, "json");
    lua_pushboolean(L, options->watch);
    lua_setfield(L, -2, "watch");
}

/* ---- running ---- */

static int traceback(lua_State *L)
{
    const char *message = lua_tostring(L, 1);
    luaL_traceback(L, L, message ? message : "an error without a message", 1);
    return 1;
}

/* A state that a process forks with: our own modules are loaded, nothing has run. NULL: there is none, or it has been taken. */
static lua_State *warm;

/* A state with the libraries and the error handler at index 1. NULL: no memory. */
static lua_State *open_state(void)
{
    lua_State *L = luaL_newstate();
    if (!L)
        return NULL;
    luaL_openlibs(L);
    preload(L);
    lua_pushcfunction(L, traceback);
    return L;
}

void vm_warm(void)
{
    lua_State *L = warm ? NULL : open_state();
    if (!L)
        return;
    luaJIT_setmode(L, 0, LUAJIT_MODE_ENGINE | LUAJIT_MODE_OFF); /* nothing of the master's own running is worth to be compiled */
    lua_gc(L, LUA_GCSTOP, 0);
    lua_getglobal(L, "require");
    lua_pushstring(L, "moongate.warm");
    bool loaded = lua_pcall(L, 1, 0, 1) == 0;
    luaJIT_setmode(L, 0, LUAJIT_MODE_ENGINE | LUAJIT_MODE_ON);
    lua_gc(L, LUA_GCCOLLECT, 0);
    lua_gc(L, LUA_GCRESTART, 0);
    if (loaded)
        warm = L;
    else
        lua_close(L); /* the child tells what is wrong */
}

void vm_cool(void)
{
    if (warm)
        lua_close(warm);
    warm = NULL;
}

/* A state with `module.function` pushed over the error handler at index 1. NULL, with the reason printed, when that fails. */
static lua_State *start(const char *module, const char *function)
{
    lua_State *L = warm ? warm : open_state();
    warm = NULL;
    if (!L) {
        fprintf(stderr, "moongate: not enough memory to start Lua\n");
        return NULL;
    }
    lua_getglobal(L, "require");
    lua_pushstring(L, module);
    if (lua_pcall(L, 1, 1, 1) != 0) {
        fprintf(stderr, "moongate: %s\n", lua_tostring(L, -1));
        lua_close(L);
        return NULL;
    }
    lua_getfield(L, -1, function);
    lua_remove(L, -2);
    return L;
}

/* Calls what start() pushed with `arguments` values above it. The integer it returns, or 70 after an error was printed. */
static int finish(lua_State *L, int arguments)
{
    int code = 70; /* EX_SOFTWARE */
    if (lua_pcall(L, arguments, 1, 1) != 0)
        fprintf(stderr, "moongate: %s\n", lua_tostring(L, -1));
    else
        code = (int)lua_tointeger(L, -1);
    return code;
}

/* What Lua collects after the worker's end must not ask it for anything. */
static void forget_worker(lua_State *L)
{
    lua_getfield(L, LUA_REGISTRYINDEX, "_LOADED");
    lua_getfield(L, -1, "moongate.abi");
    if (lua_istable(L, -1)) {
        lua_pushnil(L);
        lua_setfield(L, -2, "worker");
    }
    lua_pop(L, 2);
}

int vm_worker(const struct vm_worker_boot *boot)
{
    struct worker_options options = {
        .number = boot->number,
        .first = boot->first,
        .generation = boot->generation ? boot->generation : 1,
        .debug = (uint32_t)boot->options->debug,
        .control = boot->control,
        .access_log = boot->access_log,
        .error_log = boot->error_log,
        .listeners = boot->listeners,
        .listener_numbers = boot->listener_numbers,
        .listener_count = boot->listener_count,
        .closed = boot->closed,
        .closed_count = boot->closed_count,
        .stats = boot->stats,
        .shared = boot->shared,
        .entry = boot->entry,
        .changes = boot->changes,
        .all_stats = boot->all_stats,
        .stats_each = boot->stats_each,
        .stats_count = boot->stats_count,
    };
    if (boot->stores >= 0)
        dict_use(boot->stores);
    lua_State *L = start("moongate.worker", "main");
    if (!L)
        return 70;
    struct mg_worker *w = worker_new(&options);
    overrun_watch(L, w);
    memory_watch(L, w);
    lua_pushlightuserdata(L, w);
    push_options(L, boot->options);
    lua_pushinteger(L, boot->generation ? boot->generation : 1);
    lua_pushinteger(L, boot->sources);
    int code = finish(L, 4);
    overrun_forget();
    memory_forget();
    forget_worker(L);
    worker_free(w);
    lua_close(L);
    return code;
}

int vm_plan(const struct vm_options *options, int out, int sources)
{
    lua_State *L = start("moongate.plan", "main");
    if (!L)
        return 70;
    push_options(L, options);
    lua_pushinteger(L, out);
    lua_pushinteger(L, sources);
    int code = finish(L, 3);
    lua_close(L);
    return code;
}

/* The Lua side of a command. */
static lua_State *start_command(const char *command, const char *function)
{
    char module[64];
    snprintf(module, sizeof module, "moongate.cli_%s", command);
    return start(module, function);
}

int vm_question(const struct vm_options *options, char *ret_question, uint32_t bytes)
{
    lua_State *L = start_command(options->command, "question_text");
    if (!L)
        return 70;
    push_options(L, options);
    int code = lua_pcall(L, 1, 1, 1) == 0 ? 0 : 70;
    const char *text = lua_tostring(L, -1);
    if (code == 0 && (!text || strlen(text) >= bytes))
        code = 2; /* EX_USAGE of ours: the words of the command line do not fit */
    if (code == 0)
        strcpy(ret_question, text);
    else
        fprintf(stderr, "moongate: %s: %s\n", options->command, code == 2 ? "the request is too long to be asked about" : text);
    lua_close(L);
    return code;
}

int vm_command(const struct vm_options *options)
{
    lua_State *L = start_command(options->command, "run");
    if (!L)
        return 70;
    struct mg_stats stats = { 0 };
    struct worker_options without = { .control = -1, .access_log = -1, .error_log = STDERR_FILENO, .stats = &stats };
    bool answers = strcmp(options->command, "explain") == 0 && options->file;
    struct mg_worker *w = answers ? worker_new(&without) : NULL;
    push_options(L, options);
    if (w)
        lua_pushlightuserdata(L, w);
    int code = finish(L, w ? 2 : 1);
    forget_worker(L);
    if (w)
        worker_free(w);
    lua_close(L);
    return code;
}

const char *vm_version(void)
{
    return LUAJIT_VERSION;
}
