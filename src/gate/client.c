/* Client connections: what an event means in each phase, and parsing requests out of their input, one at a time, as Lua asks for them. */
#include <errno.h>
#include <string.h>

#include "base/must.h"
#include "gate/side.h"

enum { LATE_MS = 1000, PATIENT_MS = 5000 };

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

void client_make_hungry(struct mg_worker *w, uint32_t conn)
{
    list_push(w, &w->hungry, conn);
}

/* Nothing has come behind the content that was read: its memory is given back, and reading goes on if it was paused for it. */
static void rest(struct mg_worker *w, uint32_t conn)
{
    kept_drop(w, &w->clients[conn].kept);
    if (conn_is_paused(w->net, conn))
        conn_resume(w->net, conn);
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
    if (client->open && client->phase <= CLIENT_HEAD && kept_count(client) > 0) {
        client_parse_kept(w, conn);
    } else {
        if (client->phase <= CLIENT_HEAD)
            rest(w, conn);
        client_settle(w, conn);
    }
    return true;
}

/* ---- closing ---- */

/* Takes a request's connection away; it goes on without one, and whoever waits for the client is told. */
static void disown(struct mg_worker *w, struct request *r)
{
    r->next = NONE;
    r->listed = false;
    r->peer = w->clients[r->pub.conn].peer;
    r->pub.flags |= MG_REQ_GONE;
    if (r->state != REQUEST_ENDED && request_is_below(r))
        access_line(w, r); /* nobody else will end it */
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
    kept_drop(w, &client->kept);
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
    kept_drop(w, &client->kept);
    if (w->in.conn == conn)
        w->in.conn = NONE;
    conn_deadline(w->net, conn, client->linger ? (uint32_t)w->settings.linger_ms + 1 : 0); /* flushing: as long as it moves */
    conn_close(w->net, conn, client->linger ? CLOSE_LINGER : CLOSE_FLUSH);
}

void client_settle(struct mg_worker *w, uint32_t conn)
{
    struct client *client = &w->clients[conn];
    if (!client->open || w->in.conn == conn || client->ready || client->full)
        return;
    if (client->ended && client->phase <= CLIENT_HEAD)
        client->phase = CLIENT_LAST; /* also in the middle of a head */
    if (client->running > 0)
        return;
    if (client->phase == CLIENT_LAST && client->linger && conn_queued(w->net, conn) > 0) {
        conn_deadline(w->net, conn, 0);
        client_update_drain(w, conn); /* the time of lingering begins when the last byte is out */
    } else if (client->phase == CLIENT_LAST || (w->draining && !w->patient && client->phase == CLIENT_IDLE)) {
        close_gently(w, conn);
    } else if (client->phase == CLIENT_IDLE) {
        bool hurry = w->draining && w->settings.idle_ms > PATIENT_MS;
        conn_deadline(w->net, conn, hurry ? PATIENT_MS : (uint32_t)w->settings.idle_ms);
    }
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
    if (r->hold)
        r->peer = client->peer;
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

/* The nearest mark that somebody waits for: the writer whose turn it is, or the end of an answer. Only what drained() will find satisfied may
 * be asked for: a mark that is reached already comes back at once, and would for ever. */
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
    if (client->first != NONE && w->requests[client->first].paused && (mark == NONE || mark < w->requests[client->first].pause_mark))
        mark = w->requests[client->first].pause_mark;
    if (client->clogged && client->behind < w->settings.window_bytes / 2 && (mark == NONE || mark < w->settings.window_bytes / 2 - client->behind))
        mark = (uint32_t)(w->settings.window_bytes / 2) - client->behind;
    if (mark == NONE && client->phase == CLIENT_LAST && client->running == 0)
        mark = 0;
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
    client_let_on(w, conn);
    if (client->first != NONE) {
        struct request *r = &w->requests[client->first];
        if (r->drain_token != 0 && conn_queued(w->net, conn) <= r->drain_mark) {
            worker_wake(w, r->drain_token, 0);
            r->drain_token = 0;
        }
        if (r->exchange != NONE || r->stream != NONE)
            side_drained(w, r);
    }
    bool asked = client->held != NONE || (client->first != NONE && w->requests[client->first].drain_token != 0);
    if (client->open && (asked || (client->clogged && client->behind < w->settings.window_bytes / 2)))
        client_update_drain(w, conn);
    if (client->open && client->phase == CLIENT_LAST)
        client_settle(w, conn);
}

/* ---- events ---- */

static void accepted(struct mg_worker *w, const struct net_event *event)
{
    struct client *client = &w->clients[event->conn];
    bool ready = client->ready; /* an entry of a list may have outlived its connection */
    uint32_t next = client->next_ready;
    *client = (struct client){ .first = NONE, .last = NONE, .held = NONE, .unread = NONE, .next_ready = next, .ready = ready, .open = true };
    peer_find(conn_fd(w->net, event->conn), &client->peer);
    w->client_count++;
    w->stats->accepted++;
    double patience = w->draining && w->settings.idle_ms > LATE_MS ? LATE_MS : w->settings.idle_ms; /* it was on its way already */
    conn_deadline(w->net, event->conn, (uint32_t)patience);
}

static void arrived(struct mg_worker *w, const struct net_event *event)
{
    uint32_t conn = event->conn;
    struct client *client = &w->clients[conn];
    if (client->phase == CLIENT_TUNNEL) {
        side_tunnel_bytes(w, conn, event->bytes, event->count);
        return;
    }
    if (client->phase == CLIENT_LAST) {
        client->linger = true; /* closing in front of unread bytes would reset what the client has not taken yet */
        return;
    }
    bool parse = client->phase <= CLIENT_HEAD && !client->full && !client->ready;
    if (parse && kept_count(client) == 0) {
        w->in = (struct input){ .conn = conn, .bytes = event->bytes, .count = event->count };
        http_scan_begin(&w->scan, event->bytes, event->count);
        return;
    }
    if (kept_append(w, &client->kept, event->bytes, event->count) < 0) {
        worker_log(w, MG_LOG_WARN, "limits.buffers: no memory to keep a client's input; connection closed", 69);
        client_lost(w, conn);
    } else if (parse) {
        client_parse_kept(w, conn);
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
            client_refuse(w, client, r, -408, "the request head did not arrive in time");
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
        content_give_up(w, client);
        client_settle(w, conn);
        break;
    case CLIENT_TUNNEL: /* its upstream has the time */
        break;
    case CLIENT_IDLE:
    case CLIENT_LAST:
        if (conn_queued(w->net, conn) > 0) /* not idle: it takes its answer slowly, but it does (limits.write_stall) */
            conn_deadline(w->net, conn, (uint32_t)w->settings.idle_ms);
        else if (client->running == 0 && !client->full && !client->ready)
            close_gently(w, conn);
        break;
    }
}

/* The peer sends no more. Answers still go out; whoever asked is told that the client has probably gone. */
static void peer_ended(struct mg_worker *w, uint32_t conn)
{
    struct client *client = &w->clients[conn];
    client->ended = true;
    if (client->phase == CLIENT_TUNNEL)
        side_tunnel_end(w, conn);
    else if (client->phase == CLIENT_CONTENT)
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

/* Draining begins: idle connections end now, or, where the drain is patient, after a while without a request; a client that sends one just
 * then would otherwise find its connection reset. The others end with their next answer. */
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
