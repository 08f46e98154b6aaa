/* Fetches: slots by number, what comes for them, and what Lua asks of them. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/must.h"
#include "gate/fetch.h"
#include "gate/side.h"

enum { INDEX_BITS = 16, TURNS = 1 << 15, FETCHES_MAX = 1 << INDEX_BITS, HEAD_PADDING = 64 /* the parser may read so far past the end */ };

static const uint32_t USER_FETCHES = 1u << 31; /* users of the proxy room below it are slots of requests */

struct fetch_store {
    struct reserve room_store;
    struct fetch *fetches;
    uint32_t room, top, most, open, free;
    struct http_scan scan;
    struct http_head head; /* of the request that begins, or of the response whose fields are copied */
    char text[HTTP_HEAD_BYTES_MAX + HEAD_PADDING];
};

static const struct http_head_limits own_limits = { HTTP_HEAD_BYTES_MAX, HTTP_HEAD_BYTES_MAX, HTTP_FIELDS_MAX };

/* ---- the store ---- */

struct fetch_store *fetches_new(uint32_t most)
{
    struct fetch_store *store = calloc(1, sizeof *store);
    if (!store)
        return NULL;
    if (reserve_init(&store->room_store, most * sizeof *store->fetches, FETCHES_MAX * sizeof *store->fetches) < 0) {
        free(store);
        return NULL;
    }
    store->fetches = (struct fetch *)store->room_store.at;
    store->room = store->most = most;
    store->free = NONE;
    return store;
}

void fetches_adapt(struct fetch_store *store, uint32_t most)
{
    if (most > store->room && reserve_grow(&store->room_store, most * sizeof *store->fetches) == 0)
        store->room = most;
    store->most = most < store->room ? most : store->room;
}

/* The proxy room has gone already: nothing is aborted. */
void fetches_free(struct mg_worker *w, struct fetch_store *store)
{
    if (!store)
        return;
    for (uint32_t i = 0; i < store->top; i++) {
        if (store->fetches[i].state == FETCH_FREE)
            continue;
        kept_drop(w, &store->fetches[i].content);
        arena_reset(&store->fetches[i].arena);
    }
    reserve_fini(&store->room_store);
    free(store);
}

uint32_t fetches_open(const struct mg_worker *w)
{
    return w->side && w->side->fetches ? w->side->fetches->open : 0;
}

static void move(struct fetch *f, enum fetch_state to)
{
    static const uint8_t allowed[] = {
        [FETCH_FREE] = 1 << FETCH_WAITING,
        [FETCH_WAITING] = 1 << FETCH_CONTENT | 1 << FETCH_FAILED | 1 << FETCH_FREE,
        [FETCH_CONTENT] = 1 << FETCH_WHOLE | 1 << FETCH_FAILED | 1 << FETCH_FREE,
        [FETCH_WHOLE] = 1 << FETCH_FREE,
        [FETCH_FAILED] = 1 << FETCH_FREE,
    };
    must(allowed[f->state] & 1 << to);
    f->state = (uint8_t)to;
}

static uint32_t index_of(const struct mg_worker *w, const struct fetch *f)
{
    return (uint32_t)(f - w->side->fetches->fetches);
}

static int32_t handle_of(const struct mg_worker *w, const struct fetch *f)
{
    return (int32_t)(f->turn << INDEX_BITS | index_of(w, f));
}

static struct fetch *at_index(const struct mg_worker *w, uint32_t index)
{
    struct fetch_store *store = w->side->fetches;
    return index < store->top && store->fetches[index].state != FETCH_FREE ? &store->fetches[index] : NULL;
}

struct fetch *fetch_at(struct mg_worker *w, int32_t handle)
{
    if (handle < 0 || !w->side)
        return NULL;
    struct fetch *f = at_index(w, (uint32_t)handle & (FETCHES_MAX - 1));
    return f && handle_of(w, f) == handle ? f : NULL;
}

static struct fetch *fetch_get(struct mg_worker *w, uint32_t slot)
{
    struct fetch_store *store = w->side->fetches;
    uint32_t index = store->free;
    if (store->open >= store->most)
        return NULL;
    if (index != NONE)
        store->free = store->fetches[index].next;
    else if (store->top < store->room)
        index = store->top++;
    else
        return NULL;
    struct fetch *f = &store->fetches[index];
    uint32_t turn = f->turn;
    memset(f, 0, offsetof(struct fetch, first_page));
    f->turn = turn;
    f->exchange = f->next = NONE;
    f->request = slot;
    f->timer = -1;
    arena_init(&f->arena, &w->pages, f->first_page, sizeof f->first_page);
    if (slot != NONE) {
        f->next = w->requests[slot].first_fetch;
        w->requests[slot].first_fetch = index;
    }
    move(f, FETCH_WAITING);
    store->open++;
    return f;
}

/* Nobody's request any more. */
static void disown(struct mg_worker *w, struct fetch *f)
{
    if (f->request == NONE)
        return;
    struct request *r = &w->requests[f->request];
    uint32_t index = index_of(w, f), *link = &r->first_fetch;
    while (*link != index)
        link = &w->side->fetches->fetches[*link].next;
    *link = f->next;
    if (r->fetch == index)
        r->fetch = r->exchange = NONE;
    f->request = f->next = NONE;
}

static void stop_timer(struct mg_worker *w, struct fetch *f)
{
    if (f->timer >= 0)
        net_timer_stop(w->net, f->timer);
    f->timer = -1;
}

/* Its exchange has ended, or is another's. */
static void fetch_put(struct mg_worker *w, struct fetch *f)
{
    struct fetch_store *store = w->side->fetches;
    must(f->exchange == NONE);
    disown(w, f);
    stop_timer(w, f);
    kept_drop(w, &f->content);
    arena_reset(&f->arena);
    move(f, FETCH_FREE);
    f->turn = (f->turn + 1) % TURNS;
    f->next = store->free;
    store->free = index_of(w, f);
    store->open--;
}

/* ---- ends ---- */

/* With 1: a timer that has the same token wakes with 0. */
static void wake(struct mg_worker *w, double *token)
{
    double waiting = *token;
    *token = 0;
    worker_wake(w, waiting, 1);
}

static void wake_all(struct mg_worker *w, struct fetch *f)
{
    wake(w, &f->read_token);
    wake(w, &f->write_token);
}

static void drop_exchange(struct mg_worker *w, struct fetch *f)
{
    uint32_t exchange = f->exchange;
    f->exchange = NONE;
    if (exchange != NONE && w->side->proxy)
        proxy_abort(w->side->proxy, exchange);
}

static void fail(struct mg_worker *w, struct fetch *f, int32_t status, const char *why, uint32_t bytes)
{
    drop_exchange(w, f);
    if (f->state != FETCH_WAITING && f->state != FETCH_CONTENT)
        return;
    char *copy = arena_copy(&f->arena, why, bytes);
    f->sentence = copy ? (struct slice){ copy, bytes } : (struct slice){ "the fetch failed", 16 };
    f->failed = (uint16_t)status;
    disown(w, f);
    stop_timer(w, f);
    move(f, FETCH_FAILED);
    wake_all(w, f);
}

void fetch_close(struct mg_worker *w, struct fetch *f)
{
    drop_exchange(w, f);
    wake_all(w, f);
    fetch_put(w, f);
}

void fetch_fail_content(struct mg_worker *w, struct request *r, int32_t status, const char *why)
{
    struct fetch *f = at_index(w, r->fetch);
    must(f != NULL);
    fail(w, f, status, why, (uint32_t)strlen(why));
}

void fetch_abandon(struct mg_worker *w, struct request *r)
{
    static const char gone[] = "the client has gone";
    while (r->first_fetch != NONE) {
        struct fetch *f = &w->side->fetches->fetches[r->first_fetch];
        fail(w, f, 499, gone, sizeof gone - 1);
        disown(w, f); /* one that was whole already */
    }
}

void fetch_leave(struct mg_worker *w, struct request *r)
{
    while (r->first_fetch != NONE)
        fetch_close(w, &w->side->fetches->fetches[r->first_fetch]);
}

void fetch_on_timer(struct mg_worker *w, double token)
{
    char text[96];
    struct fetch *f = fetch_at(w, (int32_t)token);
    if (!f || f->timer < 0)
        return;
    f->timer = -1;
    int bytes = snprintf(text, sizeof text, "nobody has read its content for %.0f ms (limits.fetch_unread)", w->settings.unread_ms);
    fail(w, f, 504, text, (uint32_t)bytes);
}

/* ---- events ---- */

bool fetch_is_of(const struct proxy_event *event)
{
    return event->user & USER_FETCHES;
}

static void pause_reading(struct mg_worker *w, struct fetch *f)
{
    if (f->paused || f->exchange == NONE)
        return;
    f->paused = true;
    proxy_read_pause(w->side->proxy, f->exchange);
    if (w->settings.unread_ms > 0)
        f->timer = net_timer_start(w->net, w->settings.unread_ms, USER_FETCH, handle_of(w, f));
}

static void resume_reading(struct mg_worker *w, struct fetch *f)
{
    if (!f->paused)
        return;
    f->paused = false;
    stop_timer(w, f);
    if (f->exchange != NONE)
        proxy_read_resume(w->side->proxy, f->exchange);
}

static void on_head(struct mg_worker *w, struct fetch *f, const struct proxy_event *event)
{
    static const char no_memory[] = "limits.buffers: no memory to keep a response head";
    char *copy = arena_copy(&f->arena, event->bytes, event->head->bytes);
    if (!copy) {
        fail(w, f, 503, no_memory, sizeof no_memory - 1);
        return;
    }
    f->head = (struct slice){ copy, event->head->bytes };
    f->status = event->status;
    f->body_kind = event->body_kind;
    f->length = event->body_kind == BODY_UNTIL_CLOSE || event->body_kind == BODY_CHUNKED ? LENGTH_UNKNOWN : (double)event->length;
    move(f, FETCH_CONTENT);
    wake(w, &f->read_token);
}

static void on_content(struct mg_worker *w, struct fetch *f, const struct proxy_event *event)
{
    static const char no_memory[] = "limits.buffers: no memory to keep content of a response";
    if (kept_append(w, &f->content, event->bytes, event->count) < 0) {
        fail(w, f, 503, no_memory, sizeof no_memory - 1);
        return;
    }
    if (kept_bytes(f->content) > w->settings.window_bytes)
        pause_reading(w, f);
    wake(w, &f->read_token);
}

static void on_end(struct mg_worker *w, struct fetch *f)
{
    f->exchange = NONE;
    stop_timer(w, f);
    if (f->request != NONE && w->requests[f->request].fetch == index_of(w, f))
        w->requests[f->request].fetch = w->requests[f->request].exchange = NONE;
    move(f, FETCH_WHOLE);
    wake_all(w, f);
}

void fetch_on_proxy(struct mg_worker *w, const struct proxy_event *event)
{
    struct fetch *f = at_index(w, event->user & ~USER_FETCHES);
    if (!f || f->exchange != event->exchange)
        return;
    switch ((enum proxy_event_kind)event->kind) {
    case PROXY_HEAD:
        on_head(w, f, event);
        break;
    case PROXY_CONTENT:
        on_content(w, f, event);
        break;
    case PROXY_END:
        on_end(w, f);
        break;
    case PROXY_FAILED:
        f->exchange = NONE;
        fail(w, f, event->status, event->bytes, event->count);
        break;
    case PROXY_BROKEN:
        f->exchange = NONE;
        fail(w, f, 502, event->bytes, event->count);
        break;
    case PROXY_WRITABLE:
        wake(w, &f->write_token);
        if (f->request != NONE && w->requests[f->request].fetch == index_of(w, f))
            side_writable(w, &w->requests[f->request]);
        break;
    default:
        break;
    }
}

/* ---- beginning ---- */

static int refuse(struct mg_worker *w, int error, const char *why)
{
    w->border.text = why;
    w->border.text_bytes = (uint32_t)strlen(why);
    return error;
}

/* The text becomes a head as if a client had sent it: what is not well-formed is not sent. 0 or -EINVAL. */
static int parse_own(struct mg_worker *w, struct slice head)
{
    struct fetch_store *store = w->side->fetches;
    struct http_head_progress progress = { 0 };
    const char *reason = "the head has no end";
    if (head.bytes > HTTP_HEAD_BYTES_MAX)
        return refuse(w, -EINVAL, "its header fields are too long together");
    memcpy(store->text, head.at, head.bytes);
    memset(store->text + head.bytes, 0, HEAD_PADDING);
    http_scan_begin(&store->scan, store->text, head.bytes);
    int used = http_request_parse(&store->scan, 0, &own_limits, &progress, &store->head, &reason);
    if (used != (int)head.bytes)
        return refuse(w, -EINVAL, used > 0 ? "a header field has bytes that must not be in it" : reason);
    return 0;
}

int32_t fetch_begin(struct mg_worker *w, int upstream, int terms, struct slice head, double length, uint32_t slot)
{
    int error = parse_own(w, head);
    if (error)
        return error;
    struct fetch *f = fetch_get(w, slot);
    if (!f)
        return refuse(w, -EMFILE, "too many fetches are open (limits.fetches)");
    const struct proxy_request request = {
        .head = &w->side->fetches->head,
        .base = w->side->fetches->text,
        .own = 1,
        .terms = terms,
        .body_kind = length >= 0 ? BODY_LENGTH : length == FETCH_CHUNKED ? BODY_CHUNKED : BODY_NONE,
        .length = length > 0 ? (uint64_t)length : 0,
    };
    error = proxy_begin(w->side->proxy, upstream, &request, USER_FETCHES | index_of(w, f), &f->exchange);
    if (!error)
        return handle_of(w, f);
    f->exchange = NONE;
    fetch_put(w, f);
    return refuse(w, error, error == -EINVAL ? "its target has bytes that must not be in it" : "no more requests can be sent now");
}

void fetch_drop(struct mg_worker *w, struct request *r)
{
    struct fetch *f = r->fetch != NONE ? at_index(w, r->fetch) : NULL;
    if (f)
        fetch_close(w, f);
}

int32_t fetch_forward(struct mg_worker *w, struct request *r, int upstream, int terms, struct slice target, struct slice content)
{
    fetch_drop(w, r);
    struct fetch *f = fetch_get(w, r->pub.slot);
    if (!f)
        return refuse(w, -EMFILE, "too many fetches are open (limits.fetches)");
    r->fetch = index_of(w, f);
    int error = side_forward(w, r, upstream, terms, target, content, USER_FETCHES | r->fetch, &f->exchange);
    if (!error)
        return handle_of(w, f);
    f->exchange = NONE;
    fetch_put(w, f);
    return error;
}

/* ---- what Lua asks ---- */

static void say_why(struct mg_worker *w, const struct fetch *f)
{
    w->border.text = f->sentence.at;
    w->border.text_bytes = f->sentence.bytes;
}

int32_t fetch_head(struct mg_worker *w, struct fetch *f, double token)
{
    f->read_token = 0;
    if (f->head.bytes > 0)
        return f->status;
    if (f->state == FETCH_FAILED) {
        say_why(w, f);
        return -f->failed;
    }
    f->read_token = token;
    return 0;
}

int32_t fetch_read(struct mg_worker *w, struct fetch *f, double token)
{
    uint32_t count = kept_bytes(f->content);
    f->read_token = 0;
    if (count > 0) {
        w->border.text = f->content->bytes + f->content->begin;
        w->border.text_bytes = count;
        f->content->begin = f->content->end;
        f->taken = true;
        resume_reading(w, f);
        return (int32_t)count;
    }
    if (f->state == FETCH_WHOLE) {
        kept_drop(w, &f->content);
        return 0;
    }
    if (f->state == FETCH_FAILED) {
        say_why(w, f);
        return -EPIPE;
    }
    f->read_token = token;
    return -EAGAIN;
}

int32_t fetch_write(struct mg_worker *w, struct fetch *f, const char *bytes, uint32_t count, bool last)
{
    return f->exchange == NONE ? -EPIPE : proxy_send(w->side->proxy, f->exchange, bytes, count, last);
}

int32_t fetch_wait(struct mg_worker *w, struct fetch *f, double token)
{
    (void)w;
    if (f->exchange == NONE)
        return -EPIPE;
    f->write_token = token;
    return 0;
}

/* ---- to a client ---- */

int fetch_copy_fields(struct mg_worker *w, struct request *r, struct slice head)
{
    struct fetch_store *store = w->side->fetches;
    struct http_head_progress progress = { 0 };
    struct forward_set skip;
    const char *reason;
    if (head.bytes == 0 || head.bytes > HTTP_HEAD_BYTES_MAX)
        return -EINVAL;
    memcpy(store->text, head.at, head.bytes);
    memset(store->text + head.bytes, 0, HEAD_PADDING);
    http_scan_begin(&store->scan, store->text, head.bytes);
    if (http_response_parse(&store->scan, 0, &own_limits, &progress, &store->head, &reason) <= 0)
        return -EINVAL;
    forward_response_skip(&store->head, store->text, &skip);
    return side_copy_fields(r, &store->head, store->text, &skip);
}

/* The length that is announced to the client. */
static double length_for(const struct request *r, const struct fetch *f, uint32_t status)
{
    bool none = f->body_kind == BODY_NONE, bare = r->head_only || status == 304;
    if (none && (f->length < 0 || !bare))
        return bare ? LENGTH_UNSAID : 0;
    return f->length;
}

/* The exchange, or its end, is the request's own from here on. */
static void hand_over(struct mg_worker *w, struct request *r, uint32_t exchange, bool is_feeding, bool was_paused, int waiting)
{
    r->exchange = exchange;
    if (!is_feeding)
        r->fed = true; /* the client's content is not for this server */
    proxy_adopt(w->side->proxy, exchange, r->pub.slot);
    if (waiting > (int)w->settings.window_bytes)
        side_proxy_pause(w, r);
    else if (was_paused)
        proxy_read_resume(w->side->proxy, exchange);
}

int fetch_reply(struct mg_worker *w, struct request *r, struct fetch *f, uint32_t status)
{
    uint32_t exchange = f->exchange, count = kept_bytes(f->content);
    bool is_feeding = r->fetch == index_of(w, f), was_paused = f->paused;
    disown(w, f); /* what happens to the client meanwhile is not for the fetch */
    int error = reply_begin(w, r, status, MG_CONTENT_NONE, length_for(r, f, status));
    if (error == -E2BIG || error == -EINVAL || error == -EALREADY) {
        fetch_close(w, f);
        return error;
    }
    int waiting = error ? error : count ? reply_write(w, r, f->content->bytes + f->content->begin, count) : 0;
    if (waiting < 0) { /* nobody wants it any more */
        fetch_close(w, f);
        if (r->state == REQUEST_STREAMING)
            reply_end(w, r, true);
        return 0;
    }
    if (f->state == FETCH_CONTENT) {
        f->exchange = NONE;
        hand_over(w, r, exchange, is_feeding, was_paused, waiting);
    } else {
        if (f->state == FETCH_FAILED)
            worker_log(w, MG_LOG_ERROR, f->sentence.at, f->sentence.bytes);
        reply_end(w, r, f->state == FETCH_FAILED);
    }
    fetch_put(w, f);
    return 0;
}
