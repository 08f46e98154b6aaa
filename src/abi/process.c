/* The border, continued: process.h. */
#include "abi/process.h"

#include <errno.h>
#include <sched.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "abi/memory.h"
#include "base/must.h"
#include "gate/gate.h"
#include "gate/heart.h"

#define EXPORT __attribute__((visibility("default")))

/* ---- generations ---- */

EXPORT struct routes *mg_routes_make(const struct route_builder *b, const double *body_bytes, uint32_t routes, uint32_t number)
{
    return routes_new(b, body_bytes, routes, number);
}

EXPORT void mg_routes_name(struct routes *routes, uint32_t route, const char *text, uint32_t bytes)
{
    routes_name(routes, route, (struct slice){ text, bytes });
}

EXPORT int32_t mg_routes_time(struct routes *routes, uint32_t route, double handler_ms, double grace_ms, double request_ms)
{
    return routes_time(routes, route, (struct route_time){ (uint32_t)handler_ms, (uint32_t)grace_ms, (uint32_t)request_ms });
}

EXPORT void mg_beat(struct mg_worker *w, uint32_t slot)
{
    const struct request *r = request_at(w, slot);
    if (r && r->routes)
        heart_beat(w, r);
}

EXPORT void mg_beat_task(struct mg_worker *w, const char *what, uint32_t bytes, double most_ms)
{
    heart_task(w, (struct slice){ what, bytes }, most_ms);
}

EXPORT uint32_t mg_memory_told(char *ret, uint32_t bytes)
{
    return (uint32_t)memory_told(ret, bytes);
}

EXPORT void mg_routes_use(struct mg_worker *w, struct routes *routes)
{
    worker_use_routes(w, routes);
}

EXPORT void mg_routes_retire(struct mg_worker *w, struct routes *routes)
{
    worker_retire_routes(w, routes);
}

EXPORT uint32_t mg_routes_requests(const struct routes *routes)
{
    return routes->requests;
}

EXPORT void mg_routes_drop(struct routes *routes)
{
    must(routes->requests == 0);
    routes_free(routes);
}

EXPORT int32_t mg_adapt(struct mg_worker *w)
{
    const char *key = worker_adapt(w);
    memory_adapt(w);
    w->border.text = key;
    w->border.text_bytes = key ? (uint32_t)strlen(key) : 0;
    return key ? -ENOMEM : 0;
}

EXPORT void mg_accept_on(struct mg_worker *w, const char *numbers, uint32_t bytes)
{
    talk_accept_on(w, (struct slice){ numbers, bytes });
}

EXPORT void mg_ready(struct mg_worker *w, double generation)
{
    worker_ready(w, (uint32_t)generation);
}

EXPORT int32_t mg_request_lives(struct mg_worker *w, uint32_t slot)
{
    const struct request *r = request_at(w, slot);
    if (!r)
        return 0;
    w->border.text = r->pub.bytes + r->pub.head.target.at;
    w->border.text_bytes = r->pub.head.target.bytes;
    return 1;
}

EXPORT uint32_t mg_request_top(const struct mg_worker *w)
{
    return w->request_top;
}

/* ---- the master ---- */

EXPORT int32_t mg_bound(const struct mg_worker *w, uint32_t index, struct mg_bound *ret_bound)
{
    return bounds_row(w, index, ret_bound);
}

EXPORT int32_t mg_say(struct mg_worker *w, uint32_t kind, double argument, const char *text, uint32_t bytes)
{
    return talk_say(w, kind, argument, text, bytes);
}

/* ---- descriptors and the machine ---- */

EXPORT int32_t mg_fd_write(int32_t fd, const char *bytes, uint32_t count)
{
    while (count > 0) {
        ssize_t n = write(fd, bytes, count);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        bytes += n;
        count -= (uint32_t)n;
    }
    return 0;
}

EXPORT int32_t mg_fd_read(int32_t fd, char *ret, uint32_t count, double offset)
{
    ssize_t n = pread(fd, ret, count, (off_t)offset);
    return n < 0 ? -errno : (int32_t)n;
}

EXPORT int32_t mg_processors(void)
{
    cpu_set_t allowed;
    if (sched_getaffinity(0, sizeof allowed, &allowed) < 0)
        return 1;
    return CPU_COUNT(&allowed);
}
