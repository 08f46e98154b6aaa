/* Exchanges: from a request head to the last byte of its response. One connection each at a time (while a second server is asked as well,
 * two), never shared. What happens when a server fails stands in attempt.c. */
#include "proxy/exchange.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/must.h"
#include "proxy/inner.h"

enum {
    UNCONNECTED_WINDOWS = 8, /* content taken before there is a connection: what was on its way when the client was paused */
    INDEX_BITS = 16,
};

/* ---- the store ---- */

void exchange_move(struct exchange *x, enum exchange_state to)
{
    static const uint8_t allowed[] = {
        [EXCHANGE_FREE] = 1 << EXCHANGE_CONNECTING | 1 << EXCHANGE_WAITING | 1 << EXCHANGE_OVER,
        [EXCHANGE_CONNECTING] = 1 << EXCHANGE_CONNECTING | 1 << EXCHANGE_WAITING | 1 << EXCHANGE_OVER,
        [EXCHANGE_WAITING] = 1 << EXCHANGE_CONNECTING | 1 << EXCHANGE_CONTENT | 1 << EXCHANGE_OVER,
        [EXCHANGE_CONTENT] = 1 << EXCHANGE_OVER,
        [EXCHANGE_OVER] = 1 << EXCHANGE_FREE,
    };
    must(allowed[x->state] & 1 << to);
    x->state = (uint8_t)to;
}

uint32_t exchange_number(const struct proxy *proxy, const struct exchange *x)
{
    return x->generation << INDEX_BITS | (uint32_t)(x - proxy->exchanges);
}

/* NULL when the number is of an exchange that has ended. */
static struct exchange *exchange_of(const struct proxy *proxy, uint32_t number)
{
    uint32_t index = number & ((1u << INDEX_BITS) - 1);
    if (index >= proxy->exchange_top)
        return NULL;
    struct exchange *x = &proxy->exchanges[index];
    return x->state != EXCHANGE_FREE && exchange_number(proxy, x) == number ? x : NULL;
}

static struct exchange *exchange_get(struct proxy *proxy, struct upstream *upstream, uint32_t user)
{
    struct exchange *x = proxy->exchange_free;
    if (proxy->exchange_count >= proxy->options.exchanges)
        return NULL;
    if (x)
        proxy->exchange_free = x->next;
    else if (proxy->exchange_top < proxy->exchange_room)
        x = &proxy->exchanges[proxy->exchange_top++];
    else
        return NULL;
    *x = (struct exchange){ .generation = x->generation, .upstream = upstream, .user = user };
    upstream_use(upstream);
    upstream->running++;
    proxy->exchange_count++;
    return x;
}

void due_add(struct proxy *proxy, struct exchange *x)
{
    if (x->due)
        return;
    x->due = true;
    x->next = NULL;
    x->prev = proxy->due.last;
    if (x->prev)
        x->prev->next = x;
    else
        proxy->due.first = x;
    proxy->due.last = x;
}

void due_remove(struct proxy *proxy, struct exchange *x)
{
    if (!x->due)
        return;
    x->due = false;
    *(x->prev ? &x->prev->next : &proxy->due.first) = x->next;
    *(x->next ? &x->next->prev : &proxy->due.last) = x->prev;
}

/* Only after everything it holds was given back. */
void exchange_put(struct proxy *proxy, struct exchange *x)
{
    must(!x->link && !x->partial && !x->kept.first && !x->due);
    exchange_move(x, EXCHANGE_FREE);
    x->upstream->running--;
    upstream_drop(proxy, x->upstream);
    terms_drop(proxy, x->terms);
    x->upstream = NULL;
    x->generation = (x->generation + 1) & ((1u << (32 - INDEX_BITS)) - 1);
    x->next = proxy->exchange_free;
    proxy->exchange_free = x;
    proxy->exchange_count--;
}

void exchanges_fini(struct proxy *proxy)
{
    for (uint32_t i = 0; proxy->exchanges && i < proxy->exchange_top; i++) {
        struct exchange *x = &proxy->exchanges[i];
        if (x->state == EXCHANGE_FREE)
            continue;
        partial_put(proxy, &x->partial);
        queue_free(proxy->net, &x->kept);
    }
}

/* ---- ends ---- */

void exchange_detach(struct proxy *proxy, struct exchange *x)
{
    struct link *link = x->link;
    x->link = NULL;
    hedge_drop(proxy, x);
    if (!link)
        return;
    if (proxy->input_link == link) {
        proxy->input_link = NULL;
        proxy->input_bytes = 0;
    }
    link_close(proxy, link);
}

static void over(struct proxy *proxy, struct exchange *x, enum proxy_event_kind ending)
{
    waiting_remove(proxy, x);
    exchange_detach(proxy, x);
    partial_put(proxy, &x->partial);
    queue_free(proxy->net, &x->kept);
    exchange_move(x, EXCHANGE_OVER);
    x->ending = (uint8_t)ending;
    due_add(proxy, x);
}

void exchange_fail(struct proxy *proxy, struct exchange *x, struct failure failure)
{
    failure.begun = x->state == EXCHANGE_CONTENT;
    failure.attempt = x->attempt;
    failure.attempts = (uint8_t)x->terms->attempts;
    x->failure = failure;
    if (x->link && failure_is_of_server(&failure))
        choice_failed(proxy, x->link);
    over(proxy, x, failure.begun ? PROXY_BROKEN : PROXY_FAILED);
}

/* The response is whole. The connection is kept when nothing of this exchange can come after it. */
void exchange_finish(struct proxy *proxy, struct exchange *x)
{
    struct link *link = x->link;
    if (x->persistent && x->sent_all && !x->deaf && proxy->input_bytes == 0 && conn_queued(proxy->net, link->conn) == 0) {
        x->link = NULL;
        proxy->input_link = NULL;
        link_keep(proxy, link);
    }
    over(proxy, x, PROXY_END);
}

/* ---- the request ---- */

/* Numbers that nobody expects twice (splitmix64); they need not be secret. */
static uint64_t chance(struct proxy *proxy)
{
    uint64_t z = proxy->chance += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

int proxy_begin(struct proxy *proxy, int handle, const struct proxy_request *request, uint32_t user, uint32_t *ret_exchange)
{
    struct upstream *upstream = upstream_of(proxy, handle);
    struct terms *terms = terms_of(proxy, request->terms);
    if (!upstream || !terms)
        return -ENOENT;
    struct forward_way way = { .terms = terms };
    if (terms->host == HOST_UPSTREAM || request->head->authority.bytes == 0)
        way.host = upstream_host(upstream);
    for (uint32_t i = 0; i < (terms->traces ? sizeof way.chance / sizeof *way.chance : 2); i++)
        way.chance[i] = chance(proxy);
    int32_t bytes = forward_request(request, &way, proxy->render, sizeof proxy->render);
    if (bytes < 0)
        return bytes;
    struct exchange *x = exchange_get(proxy, upstream, user);
    if (!x)
        return -ENOBUFS;
    x->key = upstream_key(upstream, request);
    x->wanted = upstream_seat(upstream, request->server);
    x->terms = terms;
    terms->users++;
    struct slice upgrade = forward_upgrade(request, terms);
    x->upgrade = upgrade.bytes ? forward_token_hash(upgrade) : 0;
    x->interims = request->interims;
    x->trailers = request->trailers;
    x->method = request->head->method;
    x->body_kind = request->body_kind;
    x->content_left = request->body_kind == BODY_LENGTH ? request->length : 0;
    x->sent_all = request->body_kind == BODY_NONE || (request->body_kind == BODY_LENGTH && request->length == 0);
    *ret_exchange = exchange_number(proxy, x);
    if (upstream->spec.options.requests_max && upstream->running > upstream->spec.options.requests_max)
        exchange_fail(proxy, x, (struct failure){ .cause = CAUSE_REQUESTS });
    else if (queue_write(proxy->net, &x->kept, proxy->render, (uint32_t)bytes))
        exchange_fail(proxy, x, (struct failure){ .cause = CAUSE_MEMORY });
    else
        attempt_first(proxy, x, proxy->render, (uint32_t)bytes);
    return 0;
}

/* Queues wire bytes of the request where they belong now. */
static int put(struct proxy *proxy, struct exchange *x, const char *bytes, uint32_t count)
{
    if (x->state == EXCHANGE_OVER)
        return -EPIPE;
    if (x->deaf)
        return 0;
    int error = 0;
    if (x->state == EXCHANGE_CONNECTING) {
        if (x->kept.bytes / UNCONNECTED_WINDOWS > proxy->options.window_bytes)
            error = -ENOBUFS;
        else
            error = queue_write(proxy->net, &x->kept, bytes, count);
    } else {
        uint32_t most = patience_ms(x->terms->replay_bytes, proxy->options.replay_bytes);
        if (x->kept.first && (x->kept.bytes + count > most || queue_write(proxy->net, &x->kept, bytes, count)))
            queue_free(proxy->net, &x->kept);
        error = conn_write(proxy->net, x->link->conn, bytes, count);
    }
    if (error == -ENOBUFS)
        exchange_fail(proxy, x, (struct failure){ .cause = CAUSE_MEMORY });
    else if (error)
        attempt_over(proxy, x, (struct failure){ .cause = CAUSE_CLOSED, .error = -error });
    return x->state == EXCHANGE_OVER ? (error ? error : -EPIPE) : 0;
}

static int put_chunk(struct proxy *proxy, struct exchange *x, const char *bytes, uint32_t count, int last)
{
    char line[16];
    int error = 0;
    if (count) {
        error = put(proxy, x, line, (uint32_t)snprintf(line, sizeof line, "%x\r\n", count));
        if (!error)
            error = put(proxy, x, bytes, count);
        if (!error)
            error = put(proxy, x, "\r\n", 2);
    }
    if (!error && last)
        error = put(proxy, x, "0\r\n\r\n", 5);
    return error;
}

static int is_as_announced(const struct exchange *x, uint32_t count, int last)
{
    if (x->sent_all)
        return count == 0;
    if (x->body_kind != BODY_LENGTH)
        return 1;
    return count <= x->content_left && (!last || count == x->content_left);
}

/* Bytes that wait, and the promise of PROXY_WRITABLE when they are many. */
static int waiting(struct proxy *proxy, struct exchange *x)
{
    int connecting = x->state == EXCHANGE_CONNECTING;
    uint32_t bytes = connecting ? x->kept.bytes : x->deaf ? 0 : conn_queued(proxy->net, x->link->conn);
    if (bytes > proxy->options.window_bytes && !x->full) {
        x->full = true;
        if (!connecting)
            conn_notify_drained(proxy->net, x->link->conn, proxy->options.window_bytes / 2);
    }
    return bytes < INT32_MAX ? (int)bytes : INT32_MAX;
}

int proxy_send(struct proxy *proxy, uint32_t exchange, const char *bytes, uint32_t count, int last)
{
    struct exchange *x = exchange_of(proxy, exchange);
    if (!x || x->state == EXCHANGE_OVER)
        return -EPIPE;
    if (!is_as_announced(x, count, last))
        return -EMSGSIZE;
    if (x->sent_all)
        return waiting(proxy, x);
    int error = 0;
    if (x->body_kind == BODY_CHUNKED)
        error = put_chunk(proxy, x, bytes, count, last);
    else if (count)
        error = put(proxy, x, bytes, count);
    if (error)
        return error;
    if (x->body_kind == BODY_LENGTH)
        x->content_left -= count;
    x->sent_all = last || (x->body_kind == BODY_LENGTH && x->content_left == 0);
    if (x->tunnel && x->sent_all)
        conn_end(proxy->net, x->link->conn);
    if (x->state == EXCHANGE_WAITING)
        patience_for_head(proxy, x);
    else if (x->tunnel && !conn_is_paused(proxy->net, x->link->conn))
        patience_for_content(proxy, x);
    return waiting(proxy, x);
}

void proxy_read_pause(struct proxy *proxy, uint32_t exchange)
{
    struct exchange *x = exchange_of(proxy, exchange);
    if (!x || x->state != EXCHANGE_CONTENT)
        return;
    conn_pause(proxy->net, x->link->conn);
    patience_set(proxy, x, 0); /* it is the client that is slow */
}

void proxy_read_resume(struct proxy *proxy, uint32_t exchange)
{
    struct exchange *x = exchange_of(proxy, exchange);
    if (!x || x->state != EXCHANGE_CONTENT || !conn_is_paused(proxy->net, x->link->conn))
        return;
    conn_resume(proxy->net, x->link->conn);
    patience_for_content(proxy, x);
}

void proxy_adopt(struct proxy *proxy, uint32_t exchange, uint32_t user)
{
    struct exchange *x = exchange_of(proxy, exchange);
    if (x)
        x->user = user;
}

void proxy_abort(struct proxy *proxy, uint32_t exchange)
{
    struct exchange *x = exchange_of(proxy, exchange);
    if (!x)
        return;
    if (x->state != EXCHANGE_OVER)
        over(proxy, x, PROXY_END);
    due_remove(proxy, x);
    exchange_put(proxy, x);
}
