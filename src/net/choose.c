/* Which engine runs: the one that is asked for, or the ring, and epoll where a kernel or a sandbox refuses it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net/engine.h"

enum { REASON_BYTES = 512 };

static const char *const names[] = { [ENGINE_AUTO] = "auto", [ENGINE_IO_URING] = "io_uring", [ENGINE_EPOLL] = "epoll" };

enum net_engine net_engine_named(const char *name)
{
    return strcmp(name, names[ENGINE_EPOLL]) == 0 ? ENGINE_EPOLL : strcmp(name, names[ENGINE_IO_URING]) == 0 ? ENGINE_IO_URING : ENGINE_AUTO;
}

const char *net_engine_name(enum net_engine engine)
{
    return names[engine];
}

enum net_engine net_engine(const struct net *net)
{
    return net->engine == &engine_epoll ? ENGINE_EPOLL : ENGINE_IO_URING;
}

static enum net_engine asked_for(const struct net_options *options)
{
    const char *name = getenv("MOONGATE_ENGINE");
    return options->engine != ENGINE_AUTO || !name ? (enum net_engine)options->engine : net_engine_named(name);
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
