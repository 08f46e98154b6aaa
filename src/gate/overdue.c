/* One timer for all of them: it runs while there are any, and its precision is a part of the limit. */
#include "gate/overdue.h"

#include "gate/gate.h"

enum { PRECISION = 16, LEAST_MS = 10, MOST_MS = 1000 };

static double most_ms(const struct mg_worker *w, const struct request *r)
{
    int32_t route = r->pub.match.route;
    bool has_own = r->routes->times && (uint32_t)route < r->routes->count && r->routes->times[route].request_ms;
    return has_own ? r->routes->times[route].request_ms : w->settings.request_ms;
}

/* How long its handler has had, without the time that its content was waited for. */
static double taken_ms(const struct request *r, double now)
{
    double waited = r->body_waited_ms + (r->body_since_ms > 0 ? now - r->body_since_ms : 0);
    return r->cut_ms > 0 ? now - r->cut_ms : now - r->pub.started_ms - waited;
}

/* Has Lua begun to wait in it, and answered nothing yet? What an upstream or a file answers has limits of its own. */
static bool is_waiting(const struct request *r)
{
    return r->state == REQUEST_RUNNING && r->parked && !request_is_below(r);
}

static void look_at(struct mg_worker *w, struct request *r, double now)
{
    double most = most_ms(w, r), taken = taken_ms(r, now);
    w->stats->waiting++;
    if (taken > w->stats->waiting_ms)
        w->stats->waiting_ms = (uint32_t)taken;
    if (most == 0 || taken < most)
        return;
    r->cut_ms = now; /* its error handler has as much time */
    worker_announce(w, MG_CONTROL_OVERDUE, r->pub.generation, (struct slice){ 0 }, (int)r->pub.slot);
}

static void start(struct mg_worker *w)
{
    double least = w->settings.request_ms > 0 ? w->settings.request_ms : MOST_MS * PRECISION;
    if (w->routes && w->routes->least_request_ms && w->routes->least_request_ms < least)
        least = w->routes->least_request_ms;
    double ms = least / PRECISION;
    ms = ms < LEAST_MS ? LEAST_MS : ms > MOST_MS ? MOST_MS : ms;
    w->is_looking = net_timer_start(w->net, ms, USER_OVERDUE, 0) >= 0;
}

void overdue_watch(struct mg_worker *w)
{
    if (!w->is_looking)
        start(w);
}

void overdue_look(struct mg_worker *w)
{
    double now = net_now_ms(w->net);
    w->is_looking = false;
    w->stats->waiting = w->stats->waiting_ms = 0;
    for (uint32_t slot = 0; slot < w->request_top; slot++)
        if (is_waiting(&w->requests[slot]))
            look_at(w, &w->requests[slot], now);
    if (w->stats->waiting > 0)
        start(w);
}
