/* The side rooms at work: which of them an event, a drained client or an abandoned request concerns. */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "file/root.h"
#include "gate/side.h"

enum { KEPT_PER_SERVER = 512 };

static struct proxy_options proxy_options_of(const struct mg_worker *w)
{
    return (struct proxy_options){
        .exchanges = w->request_most,
        .connections = (uint32_t)w->settings.connections,
        .window_bytes = (uint32_t)w->settings.window_bytes,
        .idle_per_server = KEPT_PER_SERVER,
    };
}

struct side *side_new(struct mg_worker *w)
{
    struct side *side = calloc(1, sizeof *side);
    struct proxy_options options = proxy_options_of(w);
    if (!side)
        return NULL;
    for (int i = 0; i < ROOTS_MAX; i++)
        side->roots[i] = -1;
    side->proxy = proxy_new(w->net, &options);
    side->files = file_reader_new(w->net, w->request_most, USER_FILE);
    if (side->proxy && side->files)
        return side;
    side_free(side);
    return NULL;
}

void side_adapt(struct mg_worker *w)
{
    struct proxy_options options = proxy_options_of(w);
    proxy_adapt(w->side->proxy, &options);
    file_reader_adapt(w->side->files, w->request_most);
}

/* Upstream connections are the engine's to close: before it is freed. */
void side_stop(struct side *side)
{
    if (side->proxy)
        proxy_free(side->proxy);
    side->proxy = NULL;
}

/* After the engine: it has given up the buffers that files were being read into. */
void side_free(struct side *side)
{
    side_stop(side);
    if (side->files)
        file_reader_free(side->files);
    for (int i = 0; i < ROOTS_MAX; i++)
        if (side->roots[i] >= 0)
            close(side->roots[i]);
    free(side);
}

int side_root_open(struct mg_worker *w, struct slice folder)
{
    char path[FILE_PATH_BYTES_MAX];
    if (folder.bytes >= sizeof path)
        return -ENAMETOOLONG;
    __builtin_memcpy(path, folder.at, folder.bytes);
    path[folder.bytes] = '\0';
    for (int i = 0; i < ROOTS_MAX; i++) {
        if (w->side->roots[i] >= 0)
            continue;
        int fd = file_root_open(path);
        if (fd < 0)
            return fd;
        w->side->roots[i] = fd;
        return i;
    }
    return -ENOSPC;
}

void side_root_close(struct mg_worker *w, int root)
{
    if (root < 0 || root >= ROOTS_MAX || w->side->roots[root] < 0)
        return;
    close(w->side->roots[root]);
    w->side->roots[root] = -1;
}

bool side_step(struct mg_worker *w)
{
    struct proxy_event event;
    if (!proxy_event_next(w->side->proxy, &event))
        return false;
    side_on_proxy(w, &event);
    return true;
}

void side_net_event(struct mg_worker *w, const struct net_event *event)
{
    if (event->kind == NET_DONE && event->user == USER_FILE) {
        side_on_file(w, event);
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
    uint32_t exchange = r->exchange, stream = r->stream;
    r->exchange = r->stream = NONE;
    if (exchange != NONE)
        proxy_abort(w->side->proxy, exchange);
    if (stream != NONE)
        file_stream_end(w->side->files, stream);
    return exchange != NONE || stream != NONE;
}
