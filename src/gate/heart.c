/* Plain stores; a request of the route that ran before costs two of them. */
#include "gate/heart.h"

#include <stdio.h>

#include "gate/gate.h"

void heart_forget(struct mg_worker *w)
{
    w->stats->route = -1;
    w->stats->least_ms = (uint32_t)w->settings.handler_ms;
    if (w->routes && w->routes->least_ms && (w->routes->least_ms < w->stats->least_ms || !w->stats->least_ms))
        w->stats->least_ms = w->routes->least_ms;
}

/* Whatever the stretch before caught and kept for itself is over with it. */
static void begin_stretch(struct mg_worker *w)
{
    w->stats->beat += 1;
    w->stats->busy = 1;
    w->border.overrun = 0;
}

static void name_stretch(struct mg_worker *w, const struct request *r, int32_t route)
{
    struct mg_stats *stats = w->stats;
    bool known = (uint32_t)route < r->routes->count;
    const char *name = known ? r->routes->names[route] : NULL;
    struct route_time own = known && r->routes->times ? r->routes->times[route] : (struct route_time){ 0 };
    stats->route = route;
    stats->soft_ms = own.handler_ms ? own.handler_ms : (uint32_t)w->settings.handler_ms;
    stats->grace_ms = own.grace_ms ? own.grace_ms : (uint32_t)w->settings.grace_ms;
    snprintf(stats->route_name, sizeof stats->route_name, "%s", name ? name : "");
    w->beating = r->routes;
}

void heart_beat(struct mg_worker *w, const struct request *r)
{
    struct mg_stats *stats = w->stats;
    begin_stretch(w);
    if (stats->route != r->pub.match.route || w->beating != r->routes)
        name_stretch(w, r, r->pub.match.route);
    stats->entry = r->entry;
}

void heart_task(struct mg_worker *w, struct slice what, double most_ms)
{
    struct mg_stats *stats = w->stats;
    begin_stretch(w);
    stats->route = stats->entry = -1;
    stats->soft_ms = (uint32_t)(most_ms > 0 ? most_ms : w->settings.handler_ms);
    stats->grace_ms = (uint32_t)w->settings.grace_ms;
    snprintf(stats->route_name, sizeof stats->route_name, "%.*s", (int)what.bytes, what.at);
}
