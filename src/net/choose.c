/* Which engine runs: the one that is asked for, or the ring, and epoll where a kernel or a sandbox refuses it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net/engine.h"

enum { REASON_BYTES = 512 };

static enum net_engine asked_for(const struct net_options *options)
{
    const char *name = getenv("MOONGATE_ENGINE");
    if (options->engine != ENGINE_AUTO || !name)
        return options->engine;
    return strcmp(name, engine_epoll.name) == 0 ? ENGINE_EPOLL : strcmp(name, engine_uring.name) == 0 ? ENGINE_IO_URING : ENGINE_AUTO;
}

struct net *net_new(const struct net_options *options, char *ret_message, uint32_t message_bytes)
{
    enum net_engine asked = asked_for(options);
    if (asked == ENGINE_EPOLL)
        return engine_new(&engine_epoll, options, ret_message, message_bytes);
    struct net *net = engine_new(&engine_uring, options, ret_message, message_bytes);
    if (net || asked == ENGINE_IO_URING)
        return net;
    char reason[REASON_BYTES], also[REASON_BYTES];
    snprintf(reason, sizeof reason, "%s", ret_message);
    net = engine_new(&engine_epoll, options, also, sizeof also);
    if (net)
        snprintf(ret_message, message_bytes, "serving with epoll, which takes more CPU time: %s", reason);
    else
        snprintf(ret_message, message_bytes, "%s; nor does epoll work: %s", reason, also);
    return net;
}

const char *net_engine(const struct net *net)
{
    return net->engine->name;
}
