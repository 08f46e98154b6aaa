/* Looks at a Lua stack from a hook. */
#include "abi/script.h"

#include <lua.h>
#include <stddef.h>
#include <string.h>

/* Modules of ours that only read what a client or a script gave, and may be long about it, are as good as a script. */
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

int script_at(lua_State *L, lua_Debug *ret_at)
{
    for (int level = 0; lua_getstack(L, level, ret_at); level++)
        if (lua_getinfo(L, "Sl", ret_at) && ret_at->currentline > 0)
            return !is_delicate(ret_at->source);
    return 0;
}
