/* Requests out of a client's input, one at a time, as Lua asks for them: whole heads begin requests, partial ones are kept, what is malformed
 * is refused after the answers before it. */
#include <errno.h>
#include <string.h>

#include "gate/gate.h"

void client_parse_kept(struct mg_worker *w, uint32_t conn)
{
    struct kept *kept = w->clients[conn].kept;
    w->in = (struct input){ .conn = conn, .from_kept = true, .bytes = kept->bytes + kept->begin, .count = kept->end - kept->begin };
    http_scan_begin(&w->scan, w->in.bytes, w->in.count);
}

/* What is left of the input is kept for later, or dropped when nothing more is read. */
static void input_finish(struct mg_worker *w)
{
    struct input in = w->in;
    struct client *client = &w->clients[in.conn];
    w->in.conn = NONE;
    if (!client->open)
        return;
    if (client->phase == CLIENT_LAST || (in.from_kept && in.at == in.count)) {
        if (in.at < in.count)
            client->linger = true; /* more may be on its way: closing in front of it would reset what the client has not taken yet */
        kept_drop(w, &client->kept);
    } else if (!in.from_kept && in.at < in.count) {
        if (kept_append(w, &client->kept, in.bytes + in.at, in.count - in.at) < 0) {
            worker_log(w, MG_LOG_WARN, "limits.buffers: no memory to keep a client's input; connection closed", 69);
            client_lost(w, in.conn);
            return;
        }
    }
    if (client->full)
        conn_pause(w->net, in.conn);
    else if (client->phase == CLIENT_CONTENT)
        content_arrived(w, in.conn);
    else if (client->phase == CLIENT_UNREAD)
        client_make_ready(w, in.conn);
    else if (client->phase <= CLIENT_HEAD && conn_is_paused(w->net, in.conn))
        conn_resume(w->net, in.conn);
    client_settle(w, in.conn);
}

/* An empty line may follow the content of a request (RFC 9112 §2.2): it is not the beginning of another. */
static bool is_empty_line(const struct input *in)
{
    return in->bytes[in->at] == '\r' && in->count - in->at <= 2;
}

/* A head that is not whole: remember it; its time is counted from its first byte. */
static void input_partial(struct mg_worker *w, struct client *client)
{
    if (client->phase == CLIENT_IDLE && !is_empty_line(&w->in)) {
        client->phase = CLIENT_HEAD;
        conn_deadline(w->net, w->in.conn, (uint32_t)w->settings.head_ms);
    }
    client->parsed_at = client->seen = w->in.count - w->in.at;
    input_finish(w);
}

/* A partial head is parsed again only when its end has come, or when it has doubled: dripping costs linear time. */
static bool head_may_be_whole(struct mg_worker *w, struct client *client)
{
    struct input *in = &w->in;
    if (client->phase != CLIENT_HEAD || !in->from_kept)
        return true;
    uint32_t from = client->seen > 3 ? client->seen - 3 : 0;
    bool whole = memmem(in->bytes + from, in->count - from, "\r\n\r\n", 4) != NULL;
    client->seen = in->count;
    return whole || in->count >= client->parsed_at * 2;
}

static void begin_content(struct mg_worker *w, struct client *client, struct request *r)
{
    client->phase = CLIENT_CONTENT;
    r->pub.flags |= MG_REQ_HAS_BODY;
    r->expect = r->pub.head.flags & HEAD_EXPECT_CONTINUE;
    double limit = -1;
    uint32_t route = (uint32_t)r->pub.match.route;
    if (route < r->routes->count)
        limit = r->routes->body_bytes[route];
    r->body_limit = limit >= 0 ? limit : w->settings.body_bytes;
    conn_deadline(w->net, w->in.conn, 0);
}

/* A whole head: route it. The slot for Lua, or -1 when it has been answered here. */
static int32_t begin_request(struct mg_worker *w, struct client *client, struct request *r)
{
    const struct http_head *head = &r->pub.head;
    client->phase = CLIENT_IDLE;
    r->close = w->draining || !(head->flags & HEAD_KEEP_ALIVE);
    r->head_only = head->method == METHOD_HEAD;
    http_body_begin_request(&r->body, head);
    request_list(w, r);
    w->stats->requests++;
    if (w->stopping) {
        reply_refuse(w, r, 503, "the gateway is stopping");
        return -1;
    }
    const char *reason = "";
    int error = request_place(r, &reason);
    if (error) {
        reply_refuse(w, r, (uint32_t)-error, reason);
        return -1;
    }
    if (!r->body.done)
        begin_content(w, client, r);
    else if (r->close)
        client->phase = CLIENT_LAST;
    if (client->running == 1 && client->phase != CLIENT_CONTENT)
        conn_deadline(w->net, w->in.conn, 0);
    if (!r->body.done) {
        uint32_t slot = r->pub.slot;
        if (w->in.from_kept)
            request_keep(w, r);
        input_finish(w);
        if (r->pub.head.bytes == 0) {
            worker_fail(w, r, 503, "no memory for this request");
            return -1;
        }
        if (r->body.kind == BODY_LENGTH && (double)r->body.left > r->body_limit) {
            worker_fail(w, r, 413, "the content is longer than this resource takes");
            return -1;
        }
        return (int32_t)slot;
    }
    return (int32_t)r->pub.slot;
}

/* Refusing what cannot be parsed: after the answers before it, the connection ends. */
void client_refuse(struct mg_worker *w, struct client *client, struct request *r, int32_t status, const char *reason)
{
    memset(&r->pub.head, 0, sizeof r->pub.head - sizeof r->pub.head.fields);
    r->pub.head.minor = 1;
    r->pub.bytes = r->pub.path = "";
    r->pub.path_bytes = 0;
    r->body.done = 1;
    client->phase = CLIENT_LAST;
    request_list(w, r);
    reply_refuse(w, r, (uint32_t)-status, reason);
}

/* No room to run another request now: its bytes wait, reading pauses. The time that passes is ours, not the client's: that of a head which
 * is not whole begins anew when it is looked at again. */
static void input_wait(struct mg_worker *w, struct client *client)
{
    client->full = true;
    client->phase = CLIENT_IDLE;
    conn_deadline(w->net, w->in.conn, 0);
    input_finish(w);
}

/* More than `most` bytes of answers wait, for the client to take them or for their turn. */
static bool answers_exceed(const struct mg_worker *w, uint32_t conn, double most)
{
    return (double)conn_queued(w->net, conn) + (double)w->clients[conn].behind > most;
}

/* While a client does not take the answers that it has, no more of its requests are run. */
static bool hold_back(struct mg_worker *w, uint32_t conn)
{
    if (!answers_exceed(w, conn, w->settings.window_bytes))
        return false;
    w->clients[conn].clogged = true;
    return true;
}

void client_let_on(struct mg_worker *w, uint32_t conn)
{
    struct client *client = &w->clients[conn];
    if (!client->clogged || answers_exceed(w, conn, w->settings.window_bytes / 2))
        return;
    client->clogged = false;
    client_make_ready(w, conn);
}

/* What comes behind a request that wants to change the protocol is another request only if it does not get its way. */
static bool may_leave_http(const struct mg_worker *w, const struct client *client)
{
    return client->last != NONE && w->requests[client->last].pub.head.flags & HEAD_UPGRADE;
}

int32_t client_parse(struct mg_worker *w)
{
    struct input *in = &w->in;
    struct client *client = &w->clients[in->conn];
    for (;;) {
        if (in->at == in->count || client->phase > CLIENT_HEAD) {
            input_finish(w);
            return -1;
        }
        if (!head_may_be_whole(w, client)) {
            input_finish(w);
            return -1;
        }
        if (client->running >= w->settings.pipeline || may_leave_http(w, client) || hold_back(w, in->conn)) {
            uint32_t conn = in->conn;
            input_wait(w, client);
            if (client->open && client->clogged)
                client_update_drain(w, conn);
            return -1;
        }
        struct request *r = request_new(w, in->conn);
        if (!r) {
            uint32_t conn = in->conn;
            input_wait(w, client);
            if (client->open && !client->ready)
                client_make_hungry(w, conn);
            return -1;
        }
        struct http_head_progress progress = { 0 };
        const char *reason = "";
        int bytes = http_request_parse(&w->scan, in->at, &w->limits, &progress, &r->pub.head, &reason);
        if (bytes > 0) {
            r->pub.bytes = in->bytes + in->at;
            in->at += (uint32_t)bytes;
            if (in->from_kept)
                client->kept->begin += (uint32_t)bytes;
            int32_t slot = begin_request(w, client, r);
            if (slot >= 0 || in->conn == NONE)
                return slot;
            continue;
        }
        if (bytes < 0) {
            client_refuse(w, client, r, bytes, reason);
            if (in->conn != NONE)
                input_finish(w);
            return -1;
        }
        r->state = REQUEST_ENDED;
        request_put(w, r);
        input_partial(w, client);
        return -1;
    }
}
