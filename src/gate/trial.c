/* A request that no client sent: parsed, judged and routed by the very code that does it for those that come, so that what is told of it
 * cannot differ from what would happen. It has no connection and is answered to nobody. */
#include <errno.h>
#include <string.h>

#include "gate/gate.h"
#include "gate/trial.h"

enum { PADDING = 64 /* the parser may read so far past the end */ };

static int32_t refuse(struct mg_worker *w, struct request *r, int32_t status, const char *reason)
{
    w->border.text = reason;
    w->border.text_bytes = (uint32_t)strlen(reason);
    r->state = REQUEST_ENDED;
    request_put(w, r);
    return status;
}

int32_t trial_begin(struct mg_worker *w, const char *head, uint32_t bytes)
{
    static const char no_memory[] = "no memory for this request", no_end[] = "the head has no end";
    struct http_head_progress progress = { 0 };
    struct http_scan scan;
    const char *reason = "";
    struct request *r = request_new(w, NONE);
    if (!r) {
        w->border.text = no_memory;
        w->border.text_bytes = sizeof no_memory - 1;
        return -503;
    }
    char *copy = arena_get(&r->arena, bytes + PADDING);
    if (!copy)
        return refuse(w, r, -503, no_memory);
    memcpy(copy, head, bytes);
    memset(copy + bytes, 0, PADDING);
    http_scan_begin(&scan, copy, bytes);
    int used = http_request_parse(&scan, 0, &w->limits, &progress, &r->pub.head, &reason);
    if (used <= 0)
        return refuse(w, r, used < 0 ? used : -400, used < 0 ? reason : no_end);
    r->pub.bytes = copy;
    r->pub.started_ms = net_now_ms(w->net);
    r->parked = true;
    http_body_begin_request(&r->body, &r->pub.head);
    int error = request_place(r, &reason);
    if (!error && routes_is_closed(r->routes, r->pub.match.route)) {
        error = -503;
        reason = routes_closed_text;
    }
    return error ? refuse(w, r, error, reason) : (int32_t)r->pub.slot;
}

void trial_end(struct mg_worker *w, uint32_t slot)
{
    struct request *r = request_at(w, slot);
    if (!r || r->state != REQUEST_RUNNING || r->pub.conn != NONE || r->listed)
        return;
    r->state = REQUEST_ENDED;
    r->hold = false;
    request_put(w, r);
}
