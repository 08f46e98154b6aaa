/* The side rooms at work: which of them an event, a drained client or an abandoned request concerns. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "gate/fetch.h"
#include "gate/side.h"

enum { KEPT_PER_SERVER = 512 };

static struct proxy_options proxy_options_of(const struct mg_worker *w)
{
    return (struct proxy_options){
        .exchanges = w->request_most + (uint32_t)w->settings.fetches,
        .connections = (uint32_t)w->settings.connections,
        .window_bytes = (uint32_t)w->settings.window_bytes,
        .idle_per_server = KEPT_PER_SERVER,
        .connect_ms = (uint32_t)w->settings.connect_ms,
        .send_ms = (uint32_t)w->settings.upstream_send_ms,
        .head_ms = (uint32_t)w->settings.upstream_head_ms,
        .between_ms = (uint32_t)w->settings.upstream_between_ms,
        .total_ms = (uint32_t)w->settings.upstream_total_ms,
        .tunnel_ms = (uint32_t)w->settings.tunnel_ms,
        .replay_bytes = (uint32_t)w->settings.replay_bytes,
        .shared = w->shared,
        .worker = w->entry,
        .user = USER_PROXY,
    };
}

static struct file_cache_options cache_options_of(const struct mg_worker *w)
{
    return (struct file_cache_options){ .bytes_max = budget_of_worker(w), .file_bytes_max = w->settings.cache_file_bytes, .user = USER_CACHE };
}

static void repeat_changes(const struct mg_worker *w, struct proxy *proxy)
{
    char why[128];
    for (const char *line = w->changes, *end; line && *line; line = *end ? end + 1 : end) {
        end = strchrnul(line, '\n');
        proxy_change(proxy, (struct slice){ line, (uint32_t)(end - line) }, true, why, sizeof why);
    }
}

struct side *side_new(struct mg_worker *w)
{
    struct side *side = calloc(1, sizeof *side);
    struct proxy_options options = proxy_options_of(w);
    struct file_cache_options cached = cache_options_of(w);
    if (!side)
        return NULL;
    side->proxy = proxy_new(w->net, &options);
    side->files = file_reader_new(w->net, w->request_most, w->settings.buffer_bytes, USER_STREAM);
    side->cache = file_cache_new(w->net, &cached);
    side->fetches = fetches_new((uint32_t)w->settings.fetches);
    if (side->proxy && side->files && side->cache && side->fetches) {
        repeat_changes(w, side->proxy);
        return side;
    }
    side_free(w, side);
    return NULL;
}

void side_adapt_cache(struct mg_worker *w)
{
    struct file_cache_options cached = cache_options_of(w);
    file_cache_adapt(w->side->cache, &cached);
}

void side_adapt(struct mg_worker *w)
{
    struct proxy_options options = proxy_options_of(w);
    proxy_adapt(w->side->proxy, &options);
    file_reader_adapt(w->side->files, w->request_most, w->settings.buffer_bytes);
    fetches_adapt(w->side->fetches, (uint32_t)w->settings.fetches);
    side_adapt_cache(w);
}

/* Upstream connections are the engine's to close: before it is freed. */
void side_stop(struct side *side)
{
    if (side->proxy)
        proxy_free(side->proxy);
    side->proxy = NULL;
}

/* After the engine: it has given up the buffers that files were being read into. */
void side_free(struct mg_worker *w, struct side *side)
{
    side_stop(side);
    fetches_free(w, side->fetches);
    if (side->files)
        file_reader_free(side->files);
    file_cache_free(side->cache);
    free(side);
}

int side_folder_open(struct mg_worker *w, struct slice folder, struct slice options)
{
    return w->side ? file_folder_open(w->side->cache, folder, options) : -ENOTCONN; /* a site that is only looked at */
}

void side_folder_close(struct mg_worker *w, int folder)
{
    if (w->side)
        file_folder_close(w->side->cache, folder);
}

bool side_step(struct mg_worker *w)
{
    struct proxy_event event;
    const char *notice = file_cache_notice(w->side->cache);
    if (notice)
        worker_log(w, MG_LOG_WARN, notice, (uint32_t)strlen(notice));
    while ((notice = proxy_notice(w->side->proxy)))
        worker_log(w, MG_LOG_WARN, notice, (uint32_t)strlen(notice));
    if (side_file_step(w))
        return true;
    if (!proxy_event_next(w->side->proxy, &event))
        return false;
    if (fetch_is_of(&event))
        fetch_on_proxy(w, &event);
    else
        side_on_proxy(w, &event);
    return true;
}

void side_net_event(struct mg_worker *w, const struct net_event *event)
{
    if (event->kind == NET_DONE && event->user == USER_STREAM) {
        side_on_stream(w, event);
    } else if (event->kind == NET_TIMER && event->user == USER_FETCH) {
        fetch_on_timer(w, event->token);
    } else if (event->kind >= NET_TIMER && event->user == USER_CACHE) {
        file_cache_on_net(w->side->cache, event);
    } else if (event->kind >= NET_TIMER && event->user >= USER_PROXY && event->user <= USER_PROXY + PROXY_USERS) {
        proxy_on_net(w->side->proxy, event); /* what comes of it is taken in the turn */
    } else if (event->role == ROLE_UPSTREAM && event->kind >= NET_ACCEPTED && event->kind <= NET_CLOSED) {
        proxy_on_net(w->side->proxy, event);
        while (side_step(w)) /* content is lent out of the event's buffer */
            ;
    }
}

void side_drained(struct mg_worker *w, struct request *r)
{
    if (r->exchange != NONE)
        side_proxy_drained(w, r);
    if (r->stream != NONE)
        side_file_drained(w, r);
}

/* The request does not want its answer any more. True: it was being answered here, so nobody else will end it. */
bool side_abandon(struct mg_worker *w, struct request *r)
{
    if (r->first_fetch != NONE)
        fetch_abandon(w, r);
    uint32_t exchange = r->exchange, stream = r->stream;
    r->exchange = r->stream = NONE;
    if (exchange != NONE)
        proxy_abort(w->side->proxy, exchange);
    if (stream != NONE)
        file_stream_end(w->side->files, stream);
    bool file = r->file != NULL;
    side_file_abandon(w, r);
    return exchange != NONE || stream != NONE || file;
}

void side_answered(struct mg_worker *w, struct request *r)
{
    if (r->first_fetch != NONE)
        fetch_leave(w, r);
}
