/* Client connections: what an event means in each phase, and parsing requests out of their input, one at a time, as Lua asks for them. */
#include <errno.h>
#include <string.h>

#include "base/must.h"
#include "gate/gate.h"

/* ---- the lists of those with something to go on with ---- */

static void list_push(struct mg_worker *w, struct conn_list *list, uint32_t conn)
{
    struct client *client = &w->clients[conn];
    client->ready = true;
    client->next_ready = NONE;
    if (list->last == NONE)
        list->first = conn;
    else
        w->clients[list->last].next_ready = conn;
    list->last = conn;
}

static uint32_t list_pop(struct mg_worker *w, struct conn_list *list)
{
    uint32_t conn = list->first;
    if (conn == NONE)
        return NONE;
    list->first = w->clients[conn].next_ready;
    if (list->first == NONE)
        list->last = NONE;
    w->clients[conn].ready = false;
    return conn;
}

void client_make_ready(struct mg_worker *w, uint32_t conn)
{
    if (!w->clients[conn].ready)
        list_push(w, &w->ready, conn);
}

static void input_from_kept(struct mg_worker *w, uint32_t conn)
{
    struct kept *kept = w->clients[conn].kept;
    w->in = (struct input){ .conn = conn, .from_kept = true, .bytes = kept->bytes + kept->begin, .count = kept->end - kept->begin };
    http_scan_begin(&w->scan, w->in.bytes, w->in.count);
}

bool client_next_ready(struct mg_worker *w)
{
    uint32_t conn = list_pop(w, &w->ready);
    if (conn == NONE && request_is_free(w))
        conn = list_pop(w, &w->hungry);
    if (conn == NONE)
        return false;
    struct client *client = &w->clients[conn];
    if (!client->open) /* its number was in the list when it was lost */
        return true;
    client->full = false;
    if (client->phase == CLIENT_UNREAD)
        content_drop(w, conn);
    if (client->open && client->phase <= CLIENT_HEAD && kept_count(client) > 0)
        input_from_kept(w, conn);
    else
        client_settle(w, conn);
    return true;
}

/* ---- closing ---- */

/* Takes a request's connection away; it goes on without one, and whoever waits for the client is told. */
static void disown(struct mg_worker *w, struct request *r)
{
    r->next = NONE;
    r->listed = false;
    r->pub.flags |= MG_REQ_GONE;
    r->pub.conn = NONE;
    r->body_error = -EPIPE;
    w->stats->gone += r->state != REQUEST_ENDED;
    worker_wake(w, r->body_token, -EPIPE);
    worker_wake(w, r->drain_token, -EPIPE);
    worker_wake(w, r->gone_token, 0);
    r->body_token = r->drain_token = r->gone_token = 0;
    if (side_abandon(w, r))
        r->state = REQUEST_ENDED;
    if (r->state == REQUEST_ENDED && r->hold)
        request_told(w, r, 0);
    request_put(w, r);
}

static void disown_all(struct mg_worker *w, struct client *client)
{
    uint32_t slot = client->first;
    client->first = client->last = NONE;
    client->running = 0;
    client->behind = 0;
    while (slot != NONE) {
        struct request *r = &w->requests[slot];
        slot = r->next;
        disown(w, r);
    }
}

/* The connection is lost or given up. */
void client_lost(struct mg_worker *w, uint32_t conn)
{
    struct client *client = &w->clients[conn];
    if (!client->open)
        return;
    client->open = false;
    content_forget(w, client);
    kept_drop(w, client);
    if (w->in.conn == conn)
        w->in.conn = NONE;
    disown_all(w, client);
    conn_close(w->net, conn, CLOSE_NOW);
}

static void close_gently(struct mg_worker *w, uint32_t conn)
{
    struct client *client = &w->clients[conn];
    must(client->first == NONE);
    client->open = false;
    content_forget(w, client);
    kept_drop(w, client);
    if (w->in.conn == conn)
        w->in.conn = NONE;
    conn_deadline(w->net, conn, client->linger ? (uint32_t)w->settings.linger_ms + 1 : (uint32_t)w->settings.write_ms);
    conn_close(w->net, conn, client->linger ? CLOSE_LINGER : CLOSE_FLUSH);
}

void client_settle(struct mg_worker *w, uint32_t conn)
{
    struct client *client = &w->clients[conn];
    if (!client->open || w->in.conn == conn || client->ready || client->full)
        return;
    if (client->ended && client->phase <= CLIENT_HEAD && kept_count(client) == 0)
        client->phase = CLIENT_LAST;
    if (client->running > 0)
        return;
    bool left = client->ended && client->phase == CLIENT_HEAD; /* in the middle of a head: the answers before it still go out */
    if (left || client->phase == CLIENT_LAST || (w->draining && client->phase == CLIENT_IDLE))
        close_gently(w, conn);
    else if (client->phase == CLIENT_IDLE)
        conn_deadline(w->net, conn, (uint32_t)w->settings.idle_ms);
}

static void closed(struct mg_worker *w, const struct net_event *event)
{
    struct client *client = &w->clients[event->conn];
    must(!client->open);
    while (client->held != NONE) {
        struct request *r = &w->requests[client->held];
        client->held = r->next;
        r->next = NONE;
        request_told(w, r, event->result == 0);
    }
    w->client_count--;
    w->stats->closed++;
}

/* ---- parsing ---- */

/* What is left of the input is kept for later, or dropped when nothing more is read. */
static void input_finish(struct mg_worker *w)
{
    struct input in = w->in;
    struct client *client = &w->clients[in.conn];
    w->in.conn = NONE;
    if (!client->open)
        return;
    if (client->phase == CLIENT_LAST || (in.from_kept && in.at == in.count)) {
        kept_drop(w, client);
    } else if (!in.from_kept && in.at < in.count) {
        if (kept_append(w, client, in.bytes + in.at, in.count - in.at) < 0) {
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

/* A head that is not whole: remember it; its time is counted from its first byte. */
static void input_partial(struct mg_worker *w, struct client *client)
{
    if (client->phase == CLIENT_IDLE) {
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
    if (route < w->body_routes)
        limit = w->body_bytes[route];
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
    if (head->target_form == TARGET_AUTHORITY) {
        reply_refuse(w, r, 501, "CONNECT is not served here");
        return -1;
    }
    int error = head->target_form == TARGET_ASTERISK ? 0 : request_path(r);
    if (error) {
        reply_refuse(w, r, (uint32_t)-error, error == -400 ? "the path has a bad escape or climbs above the root" : "no memory for this request");
        return -1;
    }
    if (head->target_form == TARGET_ASTERISK) {
        r->pub.path = "*";
        r->pub.path_bytes = 1;
        r->pub.match = (struct route_match){ .route = MG_ROUTE_METHOD, .allow = UINT32_MAX };
    } else {
        request_route(w, r, 0);
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
            request_park(w, r);
        input_finish(w);
        if (r->body.kind == BODY_LENGTH && (double)r->body.left > r->body_limit) {
            worker_fail(w, r, 413, "the content is longer than this resource takes");
            return -1;
        }
        return (int32_t)slot;
    }
    return (int32_t)r->pub.slot;
}

/* Refusing what cannot be parsed: after the answers before it, the connection ends. */
static void refuse_input(struct mg_worker *w, struct client *client, struct request *r, int32_t status, const char *reason)
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

static void let_on(struct mg_worker *w, uint32_t conn)
{
    struct client *client = &w->clients[conn];
    if (!client->clogged || answers_exceed(w, conn, w->settings.window_bytes / 2))
        return;
    client->clogged = false;
    client_make_ready(w, conn);
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
        if (client->running >= w->settings.pipeline || hold_back(w, in->conn)) {
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
                list_push(w, &w->hungry, conn);
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
            refuse_input(w, client, r, bytes, reason);
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

/* ---- answers have ended ---- */

static void hold_until_sent(struct mg_worker *w, struct client *client, struct request *r, uint32_t conn)
{
    r->sent_mark = conn_sent_total(w->net, conn) + conn_queued(w->net, conn);
    r->next = client->held;
    client->held = r->pub.slot;
    client_update_drain(w, conn);
}

static void unlist_first(struct mg_worker *w, struct client *client, struct request *r)
{
    client->first = r->next;
    if (client->first == NONE)
        client->last = NONE;
    client->running--;
    r->next = NONE;
    r->listed = false;
    if (r->hold)
        hold_until_sent(w, client, r, r->pub.conn);
    r->pub.conn = NONE;
    request_put(w, r);
}

void client_answered(struct mg_worker *w, struct request *r)
{
    uint32_t conn = r->pub.conn;
    if (conn == NONE) {
        if (r->hold)
            request_told(w, r, 0);
        request_put(w, r);
        return;
    }
    struct client *client = &w->clients[conn];
    if (client->phase == CLIENT_CONTENT && client->last == r->pub.slot)
        content_leave(w, r);
    bool close = false;
    while (client->first != NONE && !close) {
        struct request *first = &w->requests[client->first];
        if (first->state != REQUEST_ENDED)
            break;
        close = first->close;
        unlist_first(w, client, first);
        if (client->first != NONE && !close) {
            client->behind -= w->requests[client->first].out.bytes;
            conn_take(w->net, conn, &w->requests[client->first].out);
            content_turn(w, &w->requests[client->first]);
            client_update_drain(w, conn);
        }
    }
    if (close) {
        client->phase = CLIENT_LAST;
        client->full = false;
        disown_all(w, client); /* parsed after an answer that ends the connection: never answered */
    }
    if (client->clogged)
        client_update_drain(w, conn); /* what was behind is with the connection now */
    else if (client->full && client->running < w->settings.pipeline)
        client_make_ready(w, conn);
    client_settle(w, conn);
}

/* The nearest mark that somebody waits for: the writer whose turn it is, or the end of an answer. */
void client_update_drain(struct mg_worker *w, uint32_t conn)
{
    struct client *client = &w->clients[conn];
    uint64_t sent = conn_sent_total(w->net, conn);
    uint32_t queued = conn_queued(w->net, conn), mark = NONE;
    if (client->first != NONE && w->requests[client->first].drain_token != 0)
        mark = w->requests[client->first].drain_mark;
    for (uint32_t slot = client->held; slot != NONE; slot = w->requests[slot].next) {
        uint64_t after = sent + queued - w->requests[slot].sent_mark;
        if (mark == NONE || after > mark)
            mark = (uint32_t)after;
    }
    if (client->first != NONE && w->requests[client->first].exchange != NONE && (mark == NONE || mark < w->settings.window_bytes / 2))
        mark = (uint32_t)w->settings.window_bytes / 2;
    if (client->first != NONE && w->requests[client->first].stream != NONE && (mark == NONE || mark < w->settings.window_bytes / 2))
        mark = (uint32_t)w->settings.window_bytes / 2;
    if (client->clogged && client->behind < w->settings.window_bytes / 2 && (mark == NONE || mark < w->settings.window_bytes / 2 - client->behind))
        mark = (uint32_t)(w->settings.window_bytes / 2) - client->behind;
    if (mark != NONE)
        conn_notify_drained(w->net, conn, mark);
}

static void drained(struct mg_worker *w, uint32_t conn)
{
    struct client *client = &w->clients[conn];
    uint64_t sent = conn_sent_total(w->net, conn);
    uint32_t *link = &client->held;
    while (*link != NONE) {
        struct request *r = &w->requests[*link];
        if (sent >= r->sent_mark) {
            *link = r->next;
            r->next = NONE;
            request_told(w, r, 1);
        } else {
            link = &r->next;
        }
    }
    let_on(w, conn);
    if (client->first != NONE) {
        struct request *r = &w->requests[client->first];
        if (r->drain_token != 0 && conn_queued(w->net, conn) <= r->drain_mark) {
            worker_wake(w, r->drain_token, 0);
            r->drain_token = 0;
        }
        if (r->exchange != NONE || r->stream != NONE)
            side_drained(w, r);
    }
    if (client->open && ((client->clogged && client->behind < w->settings.window_bytes / 2) || client->held != NONE || (client->first != NONE && w->requests[client->first].drain_token != 0)))
        client_update_drain(w, conn);
}

/* ---- events ---- */

static void accepted(struct mg_worker *w, const struct net_event *event)
{
    struct client *client = &w->clients[event->conn];
    bool ready = client->ready; /* an entry of a list may have outlived its connection */
    uint32_t next = client->next_ready;
    *client = (struct client){ .first = NONE, .last = NONE, .held = NONE, .unread = NONE, .next_ready = next, .ready = ready, .open = true };
    w->client_count++;
    w->stats->accepted++;
    conn_deadline(w->net, event->conn, (uint32_t)w->settings.idle_ms);
}

static void arrived(struct mg_worker *w, const struct net_event *event)
{
    uint32_t conn = event->conn;
    struct client *client = &w->clients[conn];
    if (client->phase == CLIENT_LAST)
        return;
    bool parse = client->phase <= CLIENT_HEAD && !client->full && !client->ready;
    if (parse && kept_count(client) == 0) {
        w->in = (struct input){ .conn = conn, .bytes = event->bytes, .count = event->count };
        http_scan_begin(&w->scan, event->bytes, event->count);
        return;
    }
    if (kept_append(w, client, event->bytes, event->count) < 0) {
        worker_log(w, MG_LOG_WARN, "limits.buffers: no memory to keep a client's input; connection closed", 69);
        client_lost(w, conn);
    } else if (parse) {
        input_from_kept(w, conn);
    } else if (client->phase == CLIENT_CONTENT) {
        content_arrived(w, conn);
    } else if (client->phase == CLIENT_UNREAD) {
        client_make_ready(w, conn);
    } else if (kept_count(client) > HTTP_HEAD_BYTES_MAX) {
        conn_pause(w->net, conn);
    }
}

static void too_slow(struct mg_worker *w, uint32_t conn)
{
    struct client *client = &w->clients[conn];
    struct request *r;
    switch ((enum client_phase)client->phase) {
    case CLIENT_HEAD:
        r = request_new(w, conn);
        if (r)
            refuse_input(w, client, r, -408, "the request head did not arrive in time");
        else
            client_lost(w, conn);
        break;
    case CLIENT_CONTENT:
        r = content_owner(w, conn);
        r->body_error = -408;
        worker_wake(w, r->body_token, -408);
        r->body_token = 0;
        side_content_arrived(w, r);
        break;
    case CLIENT_UNREAD:
        client_lost(w, conn);
        break;
    case CLIENT_IDLE:
    case CLIENT_LAST:
        if (client->running == 0 && kept_count(client) == 0)
            close_gently(w, conn);
        break;
    }
}

/* The peer sends no more. Answers still go out; whoever asked is told that the client has probably gone. */
static void peer_ended(struct mg_worker *w, uint32_t conn)
{
    struct client *client = &w->clients[conn];
    client->ended = true;
    if (client->phase == CLIENT_CONTENT)
        content_arrived(w, conn);
    else if (client->phase == CLIENT_UNREAD)
        client_make_ready(w, conn);
    for (uint32_t slot = client->first; slot != NONE; slot = w->requests[slot].next) {
        struct request *r = &w->requests[slot];
        worker_wake(w, r->gone_token, 0);
        r->gone_token = 0;
    }
    client_settle(w, conn);
}

void client_event(struct mg_worker *w, const struct net_event *event)
{
    if (event->kind == NET_ACCEPTED)
        accepted(w, event);
    else if (event->kind == NET_CLOSED)
        closed(w, event);
    else if (!w->clients[event->conn].open)
        return;
    else if (event->kind == NET_BYTES)
        arrived(w, event);
    else if (event->kind == NET_END)
        peer_ended(w, event->conn);
    else if (event->kind == NET_DRAINED)
        drained(w, event->conn);
    else if (event->kind == NET_TIMEOUT)
        too_slow(w, event->conn);
    else if (event->kind == NET_FAILED)
        client_lost(w, event->conn);
}

/* Draining begins: idle connections end now, the others with their next answer. */
void client_drain_all(struct mg_worker *w)
{
    uint32_t room = net_conn_room(w->net), left = w->client_count;
    for (uint32_t conn = 0; conn < room && left > 0; conn++) {
        struct client *client = &w->clients[conn];
        if (!client->open)
            continue;
        left--;
        for (uint32_t slot = client->first; slot != NONE; slot = w->requests[slot].next)
            if (!(w->requests[slot].pub.flags & MG_REQ_BEGUN))
                w->requests[slot].close = w->requests[slot].next == NONE;
        client_settle(w, conn);
    }
}
