/* Responses: bytes of an upstream connection become a head, content and an end. And the two doors of the room: what the engine
 * says comes in by proxy_on_net(), what the upper room is to know leaves by proxy_event_next(). */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/must.h"
#include "proxy/inner.h"

enum { INTERIM_MAX = 8 /* 1xx responses passed over */ };

/* ---- heads that are here in part ---- */

static struct partial *partial_get(struct proxy *proxy)
{
    struct partial *partial = proxy->partial_free;
    if (partial) {
        proxy->partial_free = partial->next;
    } else {
        if (proxy->partial_count == proxy->options.heads)
            return NULL;
        partial = malloc(sizeof *partial);
        if (!partial)
            return NULL;
        proxy->partial_count++;
    }
    partial->bytes = 0;
    partial->progress = (struct http_head_progress){ 0 };
    return partial;
}

/* Takes it from where it is held. */
void partial_put(struct proxy *proxy, struct partial **partial)
{
    if (!*partial)
        return;
    (*partial)->next = proxy->partial_free;
    proxy->partial_free = *partial;
    *partial = NULL;
}

void partials_fini(struct proxy *proxy)
{
    partial_put(proxy, &proxy->partial_lent);
    while (proxy->partial_free) {
        struct partial *partial = proxy->partial_free;
        proxy->partial_free = partial->next;
        free(partial);
    }
}

static void consume(struct proxy *proxy, uint32_t bytes)
{
    must(bytes <= proxy->input_bytes);
    proxy->input += bytes;
    proxy->input_bytes -= bytes;
}

/* The input behind what is here of the head, parsed on. As http_response_parse(); consumes what belongs to the head. */
static int parse_partial(struct proxy *proxy, struct partial *partial, const struct http_head_limits *limits, const char **ret_reason)
{
    uint32_t before = partial->bytes, room = PARTIAL_HEAD_BYTES - before;
    uint32_t part = proxy->input_bytes < room ? proxy->input_bytes : room;
    memcpy(partial->text + before, proxy->input, part);
    partial->bytes += part;
    http_scan_begin(&proxy->scan, partial->text, partial->bytes);
    int bytes = http_response_parse(&proxy->scan, 0, limits, &partial->progress, &partial->head, ret_reason);
    consume(proxy, bytes > 0 ? (uint32_t)bytes - before : part);
    return bytes;
}

/* The head in the input, or the beginning of it. > 0: *ret_head and *ret_base are set and it is consumed; 0: more must come; or negative. */
static int parse_head(struct proxy *proxy, struct exchange *x, struct http_head **ret_head, const char **ret_base, const char **ret_reason)
{
    const struct http_head_limits limits = { proxy->options.head_bytes, proxy->options.head_bytes, HTTP_FIELDS_MAX };
    int bytes = 0;
    if (!x->partial) {
        struct http_head_progress progress = { 0 };
        *ret_head = &proxy->head;
        *ret_base = proxy->input;
        http_scan_begin(&proxy->scan, proxy->input, proxy->input_bytes);
        bytes = http_response_parse(&proxy->scan, 0, &limits, &progress, &proxy->head, ret_reason);
        if (bytes > 0)
            consume(proxy, (uint32_t)bytes);
        if (bytes != 0)
            return bytes;
        x->partial = partial_get(proxy);
        if (!x->partial)
            return -ENOBUFS;
    }
    *ret_head = &x->partial->head;
    *ret_base = x->partial->text;
    return parse_partial(proxy, x->partial, &limits, ret_reason);
}

/* What of the exchange a head is told with; it lies in the partial one, if there is one, until the next event. */
static void tell_head(struct proxy *proxy, struct exchange *x, enum proxy_event_kind kind, const struct http_head *head, const char *base,
                      struct proxy_event *ret)
{
    proxy->partial_lent = x->partial;
    x->partial = NULL;
    *ret = (struct proxy_event){ .kind = (uint8_t)kind, .status = head->status, .user = x->user, .exchange = exchange_number(proxy, x),
                                 .bytes = base, .length = head->content_length, .head = head };
}

/* 1: an event. */
static int interim_arrived(struct proxy *proxy, struct exchange *x, const struct http_head *head, const char *base, struct proxy_event *ret)
{
    if (++x->interim > INTERIM_MAX) {
        exchange_fail(proxy, x, (struct failure){ .cause = CAUSE_INTERIM, .reason = "more than 8 interim responses (1xx)" });
        return 0;
    }
    if (!x->interims || head->status == 100) { /* whether content may come the client is told by whoever reads it */
        partial_put(proxy, &x->partial);
        return 0;
    }
    tell_head(proxy, x, PROXY_INTERIM, head, base, ret);
    forward_response_skip(head, base, &ret->skip);
    return 1;
}

/* Does a 101 change to the protocol that was asked for? */
static bool is_asked_for(const struct exchange *x, const struct http_head *head, const char *base)
{
    int at = http_head_find(head, FIELD_UPGRADE, 0);
    if (!x->upgrade || at < 0 || !(head->flags & HEAD_UPGRADE) || http_head_find(head, FIELD_UPGRADE, at + 1) >= 0)
        return false;
    const struct http_span value = head->fields[at].value;
    return forward_token_hash((struct slice){ base + value.at, value.bytes }) == x->upgrade;
}

/* From here on both sides may say what they like for as long as they like. */
static void begin_tunnel(struct exchange *x)
{
    x->tunnel = true;
    x->sent_all = x->persistent = false;
    x->total_due_ms = 0;
    x->body_kind = BODY_UNTIL_CLOSE;
    x->body = (struct http_body){ .kind = BODY_UNTIL_CLOSE };
}

/* Keep-Alive: timeout=5. The server ends the connection then: we do so half a second before, so that no request meets that. */
static uint32_t keep_ms(const struct http_head *head, const char *base)
{
    static const char name[] = "timeout=";
    int at = http_head_find(head, FIELD_KEEP_ALIVE, 0);
    if (at < 0)
        return 0;
    struct http_span value = head->fields[at].value;
    const char *text = base + value.at, *found = memmem(text, value.bytes, name, sizeof name - 1);
    uint32_t seconds = 0;
    for (const char *c = found ? found + sizeof name - 1 : text + value.bytes; c < text + value.bytes && *c >= '0' && *c <= '9' && seconds < 10000; c++)
        seconds = seconds * 10 + (uint32_t)(*c - '0');
    return seconds ? seconds * 1000 - 500 : 0;
}

static void head_arrived(struct proxy *proxy, struct exchange *x, struct http_head *head, const char *base, struct proxy_event *ret)
{
    queue_free(proxy->net, &x->kept);
    hedge_drop(proxy, x);
    x->hedge_due_ms = 0;
    choice_answered(proxy, x->link, head->status);
    exchange_move(x, EXCHANGE_CONTENT);
    http_body_begin_response(&x->body, head, (enum http_method)x->method);
    x->persistent = head->flags & HEAD_KEEP_ALIVE && x->body.kind != BODY_UNTIL_CLOSE;
    x->link->keep_ms = keep_ms(head, base);
    if (head->status == 101)
        begin_tunnel(x);
    tell_head(proxy, x, PROXY_HEAD, head, base, ret);
    ret->body_kind = x->body.kind;
    forward_response_skip(head, base, &ret->skip);
    if (x->body.done)
        exchange_finish(proxy, x);
    else
        patience_for_content(proxy, x);
}

/* 1: an event. */
static int take_head(struct proxy *proxy, struct exchange *x, struct proxy_event *ret)
{
    struct http_head *head;
    const char *base, *reason = NULL;
    int bytes = parse_head(proxy, x, &head, &base, &reason);
    if (bytes == 0)
        return 0;
    if (bytes < 0) {
        attempt_over(proxy, x, (struct failure){ .cause = bytes == -ENOBUFS ? CAUSE_MEMORY : CAUSE_HEAD, .reason = reason });
        return 0;
    }
    if (head->status < 200 && head->status != 101)
        return interim_arrived(proxy, x, head, base, ret);
    if (head->status == 101 && !is_asked_for(x, head, base)) {
        exchange_fail(proxy, x, (struct failure){ .cause = CAUSE_INTERIM, .reason = "101 (switching protocols) without being asked" });
        return 0;
    }
    if (attempt_repeat(proxy, x, head->status))
        return 0;
    head_arrived(proxy, x, head, base, ret);
    return 1;
}

/* ---- trailers ---- */

/* Lines of trailers are kept behind a status line, so that they can be parsed as a head. */
static void trailers_keep(struct proxy *proxy, struct exchange *x, const char *bytes, uint32_t count)
{
    static const char line[] = "HTTP/1.1 200 OK\r\n";
    if (!x->partial && (x->partial = partial_get(proxy))) {
        memcpy(x->partial->text, line, sizeof line - 1);
        x->partial->bytes = sizeof line - 1;
    }
    if (!x->partial || x->partial->bytes + count + 2 > PARTIAL_HEAD_BYTES) {
        x->trailers = false; /* there is no room: they are left out, as anybody on the way may do (RFC 9110 §6.5.2) */
        partial_put(proxy, &x->partial);
        return;
    }
    memcpy(x->partial->text + x->partial->bytes, bytes, count);
    x->partial->bytes += count;
}

/* Of what was just consumed; `before`: bytes of trailers until then. */
static void trailers_arrived(struct proxy *proxy, struct exchange *x, const char *from, uint32_t consumed, uint32_t before)
{
    uint32_t added = x->body.trailer_bytes - before, end = x->body.done ? 2 : http_body_is_ending(&x->body) ? 1 : 0;
    if (added > 0 && x->trailers)
        trailers_keep(proxy, x, from + consumed - end - added, added);
}

/* 1: an event. */
static int trailers_end(struct proxy *proxy, struct exchange *x, struct proxy_event *ret)
{
    const struct http_head_limits limits = { PARTIAL_HEAD_BYTES, PARTIAL_HEAD_BYTES, HTTP_FIELDS_MAX };
    struct partial *partial = x->partial;
    const char *reason;
    memcpy(partial->text + partial->bytes, "\r\n", 2);
    partial->bytes += 2;
    http_scan_begin(&proxy->scan, partial->text, partial->bytes);
    if (http_response_parse(&proxy->scan, 0, &limits, &partial->progress, &partial->head, &reason) != (int)partial->bytes) {
        exchange_fail(proxy, x, (struct failure){ .cause = CAUSE_CONTENT });
        return 0;
    }
    tell_head(proxy, x, PROXY_TRAILERS, &partial->head, partial->text, ret);
    forward_trailer_skip(&partial->head, partial->text, &ret->skip);
    exchange_finish(proxy, x);
    return 1;
}

/* 1: an event. */
static int take_content(struct proxy *proxy, struct exchange *x, struct proxy_event *ret)
{
    uint32_t at, count, trailer_bytes = x->body.trailer_bytes;
    const char *from = proxy->input;
    int64_t bytes = http_body_next(&x->body, from, proxy->input_bytes, &at, &count);
    if (bytes <= 0) {
        exchange_fail(proxy, x, (struct failure){ .cause = CAUSE_CONTENT });
        return 0;
    }
    consume(proxy, (uint32_t)bytes);
    trailers_arrived(proxy, x, from, (uint32_t)bytes, trailer_bytes);
    if (x->body.done && x->partial)
        return trailers_end(proxy, x, ret);
    *ret = (struct proxy_event){ .kind = PROXY_CONTENT, .user = x->user, .exchange = exchange_number(proxy, x), .bytes = from + at, .count = count };
    if (x->body.done)
        exchange_finish(proxy, x);
    return count > 0;
}

/* ---- events of the engine ---- */

/* Sending has failed: what the server has said before that may still be on its way, such as an answer to a request that it did not want to
 * read to its end. */
static bool may_still_speak(struct proxy *proxy, const struct exchange *x, int error)
{
    return (error == -EPIPE || error == -ECONNRESET) && conn_hears(proxy->net, x->link->conn);
}

static void failed(struct proxy *proxy, struct exchange *x, int error)
{
    if (x->state == EXCHANGE_CONNECTING) {
        attempt_over(proxy, x, (struct failure){ .cause = CAUSE_CONNECT, .error = -error });
    } else if (may_still_speak(proxy, x, error)) {
        x->deaf = true;
        if (x->full)
            due_add(proxy, x);
    } else {
        attempt_over(proxy, x, (struct failure){ .cause = CAUSE_CLOSED, .error = -error });
    }
}

static void ended(struct proxy *proxy, struct exchange *x)
{
    if (x->state == EXCHANGE_CONTENT && x->body.kind == BODY_UNTIL_CLOSE)
        exchange_finish(proxy, x);
    else
        attempt_over(proxy, x, (struct failure){ .cause = CAUSE_CLOSED });
}

static void arrived(struct proxy *proxy, struct link *link, const struct net_event *event)
{
    struct exchange *x = link->exchange;
    if (x->state == EXCHANGE_WAITING && conn_sent_total(proxy->net, link->conn) == link->sent_before) {
        enum failure_cause cause = x->fresh ? CAUSE_HEAD : CAUSE_CLOSED;
        attempt_over(proxy, x, (struct failure){ .cause = (uint8_t)cause, .reason = "it came before the request was sent" });
        return;
    }
    proxy->input_link = link;
    proxy->input = event->bytes;
    proxy->input_bytes = event->count;
    if (x->state == EXCHANGE_CONTENT && !conn_is_paused(proxy->net, link->conn))
        patience_for_content(proxy, x);
}

static void drained(struct proxy *proxy, struct exchange *x)
{
    if (x->full)
        due_add(proxy, x);
}

/* Of a connection that nobody uses: whatever it says, it is not used again. */
static void idle_spoke(struct proxy *proxy, struct link *link, uint8_t kind)
{
    if (kind == NET_BYTES || kind == NET_END || kind == NET_FAILED || kind == NET_TIMEOUT)
        link_close(proxy, link);
}

static void exchange_on_net(struct proxy *proxy, struct link *link, const struct net_event *event)
{
    struct exchange *x = link->exchange;
    switch ((enum net_event_kind)event->kind) {
    case NET_CONNECTED:
        attempt_connected(proxy, x);
        break;
    case NET_BYTES:
        arrived(proxy, link, event);
        break;
    case NET_END:
        ended(proxy, x);
        break;
    case NET_FAILED:
        failed(proxy, x, event->result);
        break;
    case NET_TIMEOUT:
        patience_over(proxy, x);
        break;
    case NET_DRAINED:
        drained(proxy, x);
        break;
    default:
        break;
    }
}

void proxy_on_net(struct proxy *proxy, const struct net_event *event)
{
    if (event->kind == NET_TIMER || event->kind == NET_READY) {
        if (event->kind == NET_TIMER)
            alarms_due(&proxy->alarms);
        else
            resolver_ready(proxy->resolver, event->user - proxy->options.user - 1);
        return;
    }
    if (event->owner & PROBE_OWNER) {
        health_on_net(proxy, event);
        return;
    }
    must(event->owner < proxy->link_top);
    must(!proxy->input_link); /* the events of the last net event were taken */
    struct link *link = &proxy->links[event->owner];
    if (event->kind == NET_CLOSED)
        link_closed(proxy, link);
    else if (link->state == LINK_IDLE)
        idle_spoke(proxy, link, event->kind);
    if (link->state != LINK_BUSY && link->state != LINK_CONNECTING)
        return;
    must(link->exchange != NULL);
    if (link == link->exchange->hedge)
        hedge_on_net(proxy, link->exchange, event);
    if (link->exchange && link != link->exchange->hedge) /* also when its first byte has made it the first */
        exchange_on_net(proxy, link, event);
}

/* ---- events for the upper room ---- */

static int input_next(struct proxy *proxy, struct proxy_event *ret)
{
    while (proxy->input_link) {
        struct exchange *x = proxy->input_link->exchange;
        if (proxy->input_bytes == 0 || !x) {
            proxy->input_link = NULL;
            break;
        }
        if (x->state == EXCHANGE_CONTENT ? take_content(proxy, x, ret) : take_head(proxy, x, ret))
            return 1;
    }
    return 0;
}

static void explain(struct proxy *proxy, struct exchange *x, struct proxy_event *ret)
{
    const char *server = upstream_label(x->upstream, x->seat);
    ret->status = failure_status(&x->failure);
    ret->bytes = proxy->sentence;
    ret->count = failure_explain(&x->failure, x->upstream->name, server, proxy->sentence, sizeof proxy->sentence);
}

static int due_next(struct proxy *proxy, struct proxy_event *ret)
{
    struct exchange *x = proxy->due.first;
    if (!x)
        return 0;
    due_remove(proxy, x);
    *ret = (struct proxy_event){ .kind = PROXY_WRITABLE, .user = x->user, .exchange = exchange_number(proxy, x) };
    x->full = false;
    if (x->state != EXCHANGE_OVER)
        return 1;
    ret->kind = x->ending;
    if (x->ending != PROXY_END)
        explain(proxy, x, ret);
    exchange_put(proxy, x);
    return 1;
}

int proxy_event_next(struct proxy *proxy, struct proxy_event *ret_event)
{
    partial_put(proxy, &proxy->partial_lent);
    waiting_turn(proxy);
    return input_next(proxy, ret_event) || due_next(proxy, ret_event);
}
