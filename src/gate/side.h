/* What the files about the side rooms share. */
#pragma once
#include "file/cache.h"
#include "file/stream.h"
#include "gate/gate.h"
#include "proxy/exchange.h"
#include "proxy/pool.h"

struct side {
    struct proxy *proxy;
    struct file_reader *files;
    struct file_cache *cache;
    struct fetch_store *fetches;
    double budget_ms;  /* when it was last looked at what other workers keep */
    bool budget_again; /* a timer looks again */
};

/* budget.c: limits.cache, of all workers */
void budget_publish(struct mg_worker *w); /* once a turn */
void budget_on_timer(struct mg_worker *w);
double budget_of_worker(const struct mg_worker *w); /* what it may keep in memory of files now */

/* What a script has said of how its request is forwarded: in the request's arena. */
struct wanted {
    struct slice server, key, edits; /* as of struct proxy_request */
};

/* side_proxy.c */
/* Forwards a request; events of the exchange name `user`. 0, or what goes wrong, as of proxy_begin(); -EPIPE, -EBUSY, -ENOBUFS. */
int side_forward(struct mg_worker *w, struct request *r, int upstream, int terms, struct slice target, struct slice content, uint32_t user,
                 uint32_t *ret_exchange);
/* Fields of an upstream's answer, without those of its connection; what was set for this answer wins. */
int side_copy_fields(struct request *r, const struct http_head *head, const char *bytes, const struct forward_set *skip);
void side_proxy_pause(struct mg_worker *w, struct request *r); /* the client is slower than the upstream */
void side_on_proxy(struct mg_worker *w, const struct proxy_event *event);
void side_writable(struct mg_worker *w, struct request *r); /* PROXY_WRITABLE of its exchange */
/* Of a client in a tunnel: what it sends, and that it sends no more. */
void side_tunnel_bytes(struct mg_worker *w, uint32_t conn, const char *bytes, uint32_t count);
void side_tunnel_end(struct mg_worker *w, uint32_t conn);
void side_proxy_drained(struct mg_worker *w, struct request *r);

/* side.c */
void side_adapt_cache(struct mg_worker *w);

/* side_file.c */
void side_file_drained(struct mg_worker *w, struct request *r);
void side_on_stream(struct mg_worker *w, const struct net_event *event);
bool side_file_step(struct mg_worker *w);
void side_file_failed(struct mg_worker *w, struct request *r, int error);
void side_file_abandon(struct mg_worker *w, struct request *r);
