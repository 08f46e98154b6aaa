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
};

/* side_proxy.c */
void side_on_proxy(struct mg_worker *w, const struct proxy_event *event);
void side_proxy_drained(struct mg_worker *w, struct request *r);

/* side_file.c */
void side_file_drained(struct mg_worker *w, struct request *r);
void side_on_stream(struct mg_worker *w, const struct net_event *event);
bool side_file_step(struct mg_worker *w);
void side_file_failed(struct mg_worker *w, struct request *r, int error);
void side_file_abandon(struct mg_worker *w, struct request *r);
