/* Request slots: taken when a head is whole, listed in order at their connection, given back when answered and held by nobody. */
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "base/must.h"
#include "gate/gate.h"
#include "http/url.h"

struct request *request_new(struct mg_worker *w, uint32_t conn)
{
    uint32_t slot = w->request_free;
    if (w->request_running >= w->request_most)
        return NULL;
    if (slot != NONE)
        w->request_free = w->requests[slot].next;
    else if (w->request_top < w->request_room)
        slot = w->request_top++;
    else
        return NULL;
    struct request *r = &w->requests[slot];
    must(r->state == REQUEST_FREE);
    uint32_t generation = r->pub.generation + 1;
    r->pub.slot = slot;
    r->pub.generation = generation;
    r->pub.conn = conn;
    r->pub.flags = 0;
    r->pub.status = 0;
    r->pub.program = w->routes->number;
    r->routes = w->routes;
    r->routes->requests++;
    r->pub.match.route = ROUTE_NONE;
    r->pub.match.capture_count = 0;
    memset(&r->state, 0, offsetof(struct request, first_page) - offsetof(struct request, state));
    r->state = REQUEST_RUNNING;
    r->next = r->exchange = r->stream = r->fetch = r->first_fetch = NONE;
    r->fields_end = &r->fields;
    arena_init(&r->arena, &w->pages, r->first_page, sizeof r->first_page);
    w->request_running++;
    return r;
}

void request_list(struct mg_worker *w, struct request *r)
{
    struct client *client = &w->clients[r->pub.conn];
    if (client->last == NONE)
        client->first = r->pub.slot;
    else
        w->requests[client->last].next = r->pub.slot;
    client->last = r->pub.slot;
    client->running++;
    r->listed = true;
    r->pub.started_ms = net_now_ms(w->net);
}

struct request *request_at(struct mg_worker *w, uint32_t slot)
{
    if (slot >= w->request_top)
        return NULL;
    struct request *r = &w->requests[slot];
    return r->state == REQUEST_FREE ? NULL : r;
}

void request_put(struct mg_worker *w, struct request *r)
{
    if (r->state != REQUEST_ENDED || r->hold || r->listed || r->unread)
        return;
    must(r->exchange == NONE && r->stream == NONE && !r->file && r->first_fetch == NONE);
    arena_reset(&r->arena);
    queue_free(w->net, &r->out);
    r->state = REQUEST_FREE;
    r->next = w->request_free;
    w->request_free = r->pub.slot;
    w->request_running--;
    if (--r->routes->requests == 0 && r->routes->retired)
        worker_retire_routes(w, r->routes);
}

int request_hold(struct mg_worker *w, struct request *r, double token)
{
    if (!r->hold && r->state == REQUEST_ENDED)
        return -EALREADY;
    if (!r->hold)
        request_keep(w, r);
    r->hold = true;
    if (r->told)
        return 1;
    r->hold_token = token;
    return 0;
}

/* The last byte is out (1), or will never be (0). */
void request_told(struct mg_worker *w, struct request *r, int32_t sent)
{
    r->told = true;
    worker_wake(w, r->hold_token, sent);
    r->hold_token = 0;
    if (!r->hold) /* let go meanwhile */
        request_put(w, r);
}

/* What was lent from input buffers moves to memory of the request's own. */
int request_park(struct mg_worker *w, struct request *r)
{
    if (r->parked)
        return 0;
    uint32_t bytes = r->pub.head.bytes;
    char *copy = arena_copy(&r->arena, r->pub.bytes, bytes);
    if (!copy) {
        worker_log(w, MG_LOG_ERROR, "limits.buffers: no memory to keep a waiting request's head", 57);
        return -ENOBUFS;
    }
    r->parked = true;
    bool path_in_head = r->pub.path >= r->pub.bytes && r->pub.path < r->pub.bytes + bytes;
    if (path_in_head)
        r->pub.path = copy + (r->pub.path - r->pub.bytes);
    r->pub.bytes = copy;
    return 0;
}

/* The bound of pages is reached: the request goes on without its head rather than with somebody else's. */
static void forget_head(struct request *r)
{
    r->parked = true;
    memset(&r->pub.head, 0, offsetof(struct http_head, fields));
    r->pub.path_bytes = 0;
    r->pub.match.capture_count = 0;
}

void request_keep(struct mg_worker *w, struct request *r)
{
    if (request_park(w, r) < 0)
        forget_head(r);
}

/* The path as it is matched: as it came when it is plain, else normalised in the arena. 0 or a negated status. */
static int request_path(struct request *r)
{
    const struct http_head *head = &r->pub.head;
    r->pub.path = r->pub.bytes + head->path.at;
    r->pub.path_bytes = head->path.bytes;
    if (head->path.bytes == 0) {
        r->pub.path = "/";
        r->pub.path_bytes = 1;
        return 0;
    }
    if (head->flags & HEAD_PATH_PLAIN)
        return 0;
    char *path = arena_get(&r->arena, head->path.bytes);
    if (!path)
        return -503;
    int32_t bytes = http_path_normalise(r->pub.path, head->path.bytes, path);
    if (bytes < 0)
        return bytes;
    r->pub.path = path;
    r->pub.path_bytes = (uint32_t)bytes;
    return 0;
}

/* What its target asks for: no resource of ours, all of the server, or a path with its route. */
int request_place(struct request *r, const char **ret_reason)
{
    if (r->pub.head.target_form == TARGET_AUTHORITY) {
        *ret_reason = "CONNECT is not served here";
        return -501;
    }
    if (r->pub.head.target_form == TARGET_ASTERISK) {
        r->pub.path = "*";
        r->pub.path_bytes = 1;
        r->pub.match = (struct route_match){ .route = MG_ROUTE_METHOD, .allow = UINT32_MAX };
        return 0;
    }
    int error = request_path(r);
    if (error) {
        *ret_reason = error == -400 ? "the path has a bad escape or climbs above the root" : "no memory for this request";
        return error;
    }
    request_route(r, 0);
    return 0;
}

void request_route(struct request *r, uint32_t skip)
{
    const struct http_head *head = &r->pub.head;
    struct route_match *match = &r->pub.match;
    route_match(r->routes->program, r->pub.bytes + head->authority.at, head->authority.bytes, head->method, r->pub.path, r->pub.path_bytes, skip, match);
    if (match->route == ROUTE_NONE)
        match->route = match->allow ? MG_ROUTE_METHOD : MG_ROUTE_NOT_FOUND;
}
