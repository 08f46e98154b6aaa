/* Proxied answers: carried from an exchange to the client with the same order, bounds and endings as Lua's. */
#include <errno.h>
#include <string.h>
#include <strings.h>

#include "gate/fetch.h"
#include "gate/lend.h"
#include "gate/side.h"
#include "proxy/edit.h"
#include "proxy/terms.h"

/* ---- upstreams ---- */

int side_upstream_open(struct mg_worker *w, struct slice name, struct slice servers)
{
    static char message[256];
    message[0] = '\0';
    int handle = proxy_upstream_open(w->side->proxy, name, servers, message, sizeof message);
    w->border.text = message;
    w->border.text_bytes = (uint32_t)strlen(message);
    return handle;
}

void side_upstream_close(struct mg_worker *w, int upstream)
{
    proxy_upstream_close(w->side->proxy, upstream);
}

struct proxy *side_proxy(const struct mg_worker *w)
{
    return w->side->proxy;
}

int side_upstream_change(struct mg_worker *w, struct slice line, bool blindly)
{
    static char message[640];
    message[0] = '\0';
    int error = proxy_change(w->side->proxy, line, blindly, message, sizeof message);
    w->border.text = message;
    w->border.text_bytes = (uint32_t)strlen(message);
    return error;
}

int side_upstream_server(struct mg_worker *w, int upstream, uint32_t at, const struct request *r, struct slice *ret_label, int32_t *ret_aside)
{
    struct proxy_server_facts facts;
    struct proxy_request request = { 0 };
    if (r) {
        request.key = r->wanted ? r->wanted->key : request.key;
        request.head = &r->pub.head;
        request.base = r->pub.bytes;
        request.path = (struct slice){ r->pub.path, r->pub.path_bytes };
    }
    int index = proxy_server_next(w->side->proxy, upstream, at, r ? &request : NULL);
    if (index < 0 || proxy_server_facts(w->side->proxy, upstream, (uint32_t)index, &facts) < 0)
        return -ENOENT;
    *ret_label = facts.label;
    *ret_aside = facts.down_until_ms > net_now_ms(w->net);
    return index;
}

int side_terms_open(struct mg_worker *w, struct slice lines)
{
    return proxy_terms_open(w->side->proxy, lines);
}

void side_terms_close(struct mg_worker *w, int terms)
{
    proxy_terms_close(w->side->proxy, terms);
}

/* ---- proxied requests ---- */

int side_want(struct request *r, struct slice server, struct slice key, struct slice edits)
{
    struct wanted wanted = { .server = { NULL, server.bytes }, .key = { NULL, key.bytes }, .edits = { NULL, edits.bytes } };
    r->wanted = NULL;
    if (edits_check(edits) < 0)
        return -EINVAL;
    if (server.bytes + key.bytes + edits.bytes == 0)
        return 0;
    wanted.server.at = arena_copy(&r->arena, server.at, server.bytes);
    wanted.key.at = arena_copy(&r->arena, key.at, key.bytes);
    wanted.edits.at = arena_copy(&r->arena, edits.at, edits.bytes);
    struct wanted *kept = arena_get(&r->arena, (uint32_t)sizeof *kept);
    if (!wanted.server.at || !wanted.key.at || !wanted.edits.at || !kept)
        return -ENOBUFS;
    *kept = wanted;
    r->wanted = kept;
    return 0;
}

/* Feeds request content to the exchange until it has enough or there is no more for now. */
static void feed(struct mg_worker *w, struct request *r)
{
    while (r->exchange != NONE && !r->fed && !r->choked) {
        int32_t bytes = content_read(w, r, 0);
        if (bytes == -EAGAIN)
            return;
        if (bytes < 0) { /* the client's content is broken: so is the request */
            static const char broken[] = "the request content is malformed, too long or did not arrive";
            uint32_t exchange = r->exchange;
            if (r->fetch != NONE) {
                fetch_fail_content(w, r, bytes == -EPIPE ? 400 : -bytes, broken);
                return;
            }
            r->exchange = NONE;
            proxy_abort(w->side->proxy, exchange);
            if (r->pub.flags & MG_REQ_BEGUN)
                reply_end(w, r, true);
            else
                worker_fail(w, r, bytes == -EPIPE ? 400 : -bytes, broken);
            return;
        }
        r->fed = bytes == 0;
        int waiting = proxy_send(w->side->proxy, r->exchange, w->border.text, (uint32_t)bytes, bytes == 0);
        r->choked = waiting > (int)w->settings.window_bytes; /* PROXY_WRITABLE goes on from here */
        if (waiting < 0)
            return; /* its event is due */
    }
}

void side_content_arrived(struct mg_worker *w, struct request *r)
{
    feed(w, r);
}

/* The content that Lua has read, sent at once: as long as its own limit allows. */
static void send_read(struct mg_worker *w, struct request *r, struct slice content)
{
    r->fed = true;
    proxy_send(w->side->proxy, r->exchange, content.at, content.bytes, 1); /* what goes wrong comes as an event */
}

static bool is_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-';
}

/* TE: trailers (RFC 9110 §10.1.4). */
static bool takes_trailers(const struct request *r)
{
    int at = r->pub.head.minor == 1 ? http_head_find(&r->pub.head, FIELD_TE, 0) : -1;
    if (at < 0)
        return false;
    struct http_span value = r->pub.head.fields[at].value;
    const char *text = r->pub.bytes + value.at;
    for (uint32_t from = 0, to; from < value.bytes; from = to + 1) {
        for (to = from; to < value.bytes && is_word(text[to]); to++)
            ;
        if (to - from == 8 && strncasecmp(text + from, "trailers", 8) == 0)
            return true;
    }
    return false;
}

int side_forward(struct mg_worker *w, struct request *r, int upstream, int terms, struct slice target, struct slice content, uint32_t user,
                 uint32_t *ret_exchange)
{
    char client[64];
    if (r->pub.conn == NONE)
        return -EPIPE;
    int client_bytes = peer_text(request_peer(w, r), false, client, sizeof client);
    bool was_read = content.at && r->body.done && r->body.kind != BODY_NONE;
    if (r->body.content > 0 && !was_read) {
        worker_logf(w, MG_LOG_ERROR, "proxy: the request's content was read in pieces before: it cannot be forwarded any more");
        return -EBUSY;
    }
    if (r->pub.head.bytes == 0) /* there was no memory to keep it */
        return -ENOBUFS;
    static const struct wanted nothing;
    const struct wanted *wanted = r->wanted ? r->wanted : &nothing;
    struct proxy_request request = {
        .head = &r->pub.head,
        .base = r->pub.bytes,
        .target = target,
        .path = { r->pub.path, r->pub.path_bytes },
        .client = { client, (uint32_t)client_bytes },
        .scheme = { "http", 4 },
        .key = wanted->key,
        .server = wanted->server,
        .edits = wanted->edits,
        .terms = terms,
        .trailers = takes_trailers(r),
        .interims = user == r->pub.slot && r->pub.head.minor == 1,
        .upgrades = user == r->pub.slot && request_is_first(w, r),
        .trusted = w->trust.count > 0 && trust_has(&w->trust, request_peer(w, r)),
        .body_kind = was_read ? BODY_LENGTH : r->body.kind,
        .length = was_read ? content.bytes : r->body.kind == BODY_LENGTH ? (uint64_t)r->pub.head.content_length : 0,
    };
    int error = proxy_begin(w->side->proxy, upstream, &request, user, &r->exchange);
    if (error) {
        r->exchange = NONE;
        return error;
    }
    *ret_exchange = r->exchange;
    r->fed = r->body.kind == BODY_NONE;
    request_keep(w, r);
    if (was_read)
        send_read(w, r, content);
    else
        feed(w, r);
    return 0;
}

int side_reply_proxy(struct mg_worker *w, struct request *r, int upstream, int terms, struct slice target, struct slice content)
{
    uint32_t exchange;
    fetch_drop(w, r);
    return side_forward(w, r, upstream, terms, target, content, r->pub.slot, &exchange);
}

static double announced(const struct proxy_event *event)
{
    return event->body_kind == BODY_UNTIL_CLOSE || event->body_kind == BODY_CHUNKED ? -1 : (double)event->length;
}

int side_copy_fields(struct request *r, const struct http_head *head, const char *bytes, const struct forward_set *skip)
{
    struct http_out_field *own = r->fields;
    for (uint32_t i = 0; i < head->field_count; i++) {
        const struct http_field_line *line = &head->fields[i];
        struct slice name = { bytes + line->name.at, line->name.bytes };
        bool overruled = false;
        for (const struct http_out_field *field = own; field && !overruled; field = field->next)
            overruled = field->mode != MG_FIELD_ADD && field->name.bytes == name.bytes && strncasecmp(field->name.at, name.at, name.bytes) == 0;
        if (forward_set_has(skip, i) || overruled || line->id == FIELD_CONTENT_LENGTH)
            continue;
        int error = reply_field(r, name, (struct slice){ bytes + line->value.at, line->value.bytes }, MG_FIELD_ADD);
        if (error && error != -EINVAL)
            return error;
    }
    return 0;
}

static void fail_proxied(struct mg_worker *w, struct request *r, uint32_t status, const char *text, uint32_t bytes)
{
    char *copy = arena_get(&r->arena, bytes + 1);
    if (copy) {
        memcpy(copy, text, bytes);
        copy[bytes] = '\0';
    }
    worker_log(w, MG_LOG_ERROR, text, bytes);
    worker_fail(w, r, (int32_t)status, copy ? copy : "the upstream failed");
}

static void refuse_head(struct mg_worker *w, struct request *r, const char *why)
{
    uint32_t exchange = r->exchange;
    r->exchange = NONE;
    proxy_abort(w->side->proxy, exchange);
    fail_proxied(w, r, 502, why, (uint32_t)strlen(why));
}

/* ---- heads ---- */

enum { LINES_MAX = 18432 /* of the longest response head */, BLOCK = 16 /* texts are copied in whole blocks: both sides have so much room behind them */ };

static inline char *put(char *out, const char *text, uint32_t count)
{
    for (uint32_t at = 0; at < count; at += BLOCK)
        memcpy(out + at, text + at, BLOCK);
    return out + count;
}

/* Room that lines_put() needs. */
static uint32_t lines_room(const struct proxy_event *event)
{
    return event->head->bytes + event->head->field_count * 4u + 64;
}

/* The field lines of a head as they go to the client: its length. `ret_ids`: a bit for each field of the table that is there. */
static uint32_t lines_put(char *out, const struct proxy_event *event, bool upgrade, uint64_t *ret_ids)
{
    char *at = out;
    uint64_t ids = 0;
    for (uint32_t i = 0; i < event->head->field_count; i++) {
        const struct http_field_line *line = &event->head->fields[i];
        if (forward_set_has(&event->skip, i) && !(upgrade && line->id == FIELD_UPGRADE))
            continue;
        at = put(at, event->bytes + line->name.at, line->name.bytes);
        memcpy(at, ": ", 2);
        at = put(at + 2, event->bytes + line->value.at, line->value.bytes);
        memcpy(at, "\r\n", 2);
        at += 2;
        ids |= UINT64_C(1) << line->id;
    }
    *ret_ids = ids;
    return (uint32_t)(at - out);
}

/* The same in the request's arena; at NULL: there is no room. `upgrade`: with that, too. */
static struct slice lines_of(struct request *r, const struct proxy_event *event, bool upgrade)
{
    static const char connection[] = "Connection: upgrade\r\n";
    uint64_t ids;
    uint32_t bytes = 0;
    char *lines = arena_get(&r->arena, lines_room(event));
    if (lines)
        bytes = lines_put(lines, event, upgrade, &ids);
    if (lines && upgrade) {
        memcpy(lines + bytes, connection, sizeof connection - 1);
        bytes += (uint32_t)sizeof connection - 1;
    }
    return (struct slice){ lines, bytes };
}

/* Nobody has said anything about the fields: they go from head to head. As reply_begin(). */
static int begin_plainly(struct mg_worker *w, struct request *r, const struct proxy_event *event, double length)
{
    char lines[LINES_MAX];
    uint64_t ids;
    if (lines_room(event) > sizeof lines)
        return -E2BIG;
    struct slice all = { lines, lines_put(lines, event, false, &ids) };
    return reply_begin_with(w, r, event->status, all, ids >> FIELD_DATE & 1, ids >> FIELD_SERVER & 1, length);
}

static int begin_edited(struct mg_worker *w, struct request *r, const struct proxy_event *event, double length)
{
    if (side_copy_fields(r, event->head, event->bytes, &event->skip) < 0)
        return -E2BIG;
    return reply_begin(w, r, r->own_status ? r->own_status : event->status, MG_CONTENT_NONE, length);
}

static void on_head(struct mg_worker *w, struct request *r, const struct proxy_event *event)
{
    double length = announced(event);
    bool bare = r->head_only || (r->own_status ? r->own_status : event->status) == 304; /* what the client is told */
    if (event->body_kind == BODY_NONE && (length < 0 || !bare))
        length = bare ? LENGTH_UNSAID : 0;
    bool plain = !r->fields && !r->own_status && !r->reason.bytes && event->status >= 200 && r->pub.conn != NONE;
    int error = plain ? begin_plainly(w, r, event, length) : begin_edited(w, r, event, length);
    if (error == -E2BIG)
        refuse_head(w, r, "the upstream's response head is too large");
    else if (error == -EINVAL)
        refuse_head(w, r, "the upstream's status is none of an answer");
}

/* ---- what comes beside content ---- */

static void on_interim(struct mg_worker *w, struct request *r, const struct proxy_event *event)
{
    struct slice lines = lines_of(r, event, false);
    if (lines.at)
        reply_interim(w, r, event->status, lines);
}

static void on_trailers(struct request *r, const struct proxy_event *event)
{
    struct slice lines = lines_of(r, event, false);
    if (lines.at)
        r->trailers = lines;
}

/* ---- tunnels ---- */

/* From now on the client's bytes are the upstream's, beginning with those that are here already. */
static void on_switch(struct mg_worker *w, struct request *r, const struct proxy_event *event)
{
    struct slice lines = lines_of(r, event, true);
    uint32_t conn = r->pub.conn;
    if (!lines.at || reply_switch(w, r, lines) < 0) {
        refuse_head(w, r, "the upstream's response head is too large");
        return;
    }
    struct client *client = &w->clients[conn];
    struct kept *kept = client->kept;
    client->kept = NULL;
    client->phase = CLIENT_TUNNEL;
    client->full = false;
    conn_deadline(w->net, conn, 0);
    if (conn_is_paused(w->net, conn))
        conn_resume(w->net, conn);
    if (kept)
        side_tunnel_bytes(w, conn, kept->bytes + kept->begin, kept->end - kept->begin);
    kept_drop(w, &kept);
    if (w->clients[conn].ended)
        side_tunnel_end(w, conn);
}

static struct request *tunnel_of(struct mg_worker *w, uint32_t conn)
{
    uint32_t slot = w->clients[conn].first;
    return slot != NONE && w->requests[slot].exchange != NONE ? &w->requests[slot] : NULL;
}

void side_tunnel_bytes(struct mg_worker *w, uint32_t conn, const char *bytes, uint32_t count)
{
    struct request *r = tunnel_of(w, conn);
    if (r && count && proxy_send(w->side->proxy, r->exchange, bytes, count, 0) > (int)w->settings.window_bytes)
        conn_pause(w->net, conn);
}

void side_tunnel_end(struct mg_worker *w, uint32_t conn)
{
    struct request *r = tunnel_of(w, conn);
    if (r)
        proxy_send(w->side->proxy, r->exchange, "", 0, 1);
}

/* The upstream takes more of what the client sends. */
void side_writable(struct mg_worker *w, struct request *r)
{
    r->choked = false;
    if (r->pub.conn != NONE && w->clients[r->pub.conn].phase == CLIENT_TUNNEL)
        conn_resume(w->net, r->pub.conn);
    else
        feed(w, r);
}

/* ---- content ---- */

void side_proxy_pause(struct mg_worker *w, struct request *r)
{
    r->paused = true;
    r->pause_mark = (uint32_t)w->settings.window_bytes / 2;
    proxy_read_pause(w->side->proxy, r->exchange);
    if (request_is_first(w, r))
        client_update_drain(w, r->pub.conn);
}

static void on_content(struct mg_worker *w, struct request *r, const struct proxy_event *event)
{
    int waiting = reply_write(w, r, event->bytes, event->count);
    if (waiting > (int)w->settings.window_bytes && r->exchange != NONE && !r->paused)
        side_proxy_pause(w, r);
}

/* The client has taken enough: let the upstream go on. */
void side_proxy_drained(struct mg_worker *w, struct request *r)
{
    if (!r->paused || r->exchange == NONE)
        return;
    if (reply_waiting(w, r) > r->pause_mark) {
        client_update_drain(w, r->pub.conn);
        return;
    }
    r->paused = false;
    proxy_read_resume(w->side->proxy, r->exchange);
}

void side_on_proxy(struct mg_worker *w, const struct proxy_event *event)
{
    struct request *r = request_at(w, event->user);
    if (!r || r->exchange != event->exchange)
        return;
    if (event->kind == PROXY_END || event->kind == PROXY_FAILED || event->kind == PROXY_BROKEN)
        r->exchange = NONE;
    if (event->kind == PROXY_HEAD && event->status == 101)
        on_switch(w, r, event);
    else if (event->kind == PROXY_HEAD)
        on_head(w, r, event);
    else if (event->kind == PROXY_INTERIM)
        on_interim(w, r, event);
    else if (event->kind == PROXY_TRAILERS)
        on_trailers(r, event);
    else if (event->kind == PROXY_CONTENT)
        on_content(w, r, event);
    else if (event->kind == PROXY_END)
        reply_end(w, r, false);
    else if (event->kind == PROXY_FAILED)
        fail_proxied(w, r, event->status, event->bytes, event->count);
    else if (event->kind == PROXY_WRITABLE)
        side_writable(w, r);
    if (event->kind == PROXY_BROKEN) {
        worker_log(w, MG_LOG_ERROR, event->bytes, event->count);
        reply_end(w, r, true);
    }
}
