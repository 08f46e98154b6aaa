/* What the files about the side rooms share. */
#pragma once
#include "file/stream.h"
#include "gate/gate.h"
#include "proxy/exchange.h"
#include "proxy/pool.h"

enum { ROOTS_MAX = 4096 };

struct side {
    struct proxy *proxy;
    struct file_reader *files;
    int roots[ROOTS_MAX]; /* descriptors of folders, by handle; -1: free */
};

/* side_proxy.c */
void side_on_proxy(struct mg_worker *w, const struct proxy_event *event);
void side_proxy_drained(struct mg_worker *w, struct request *r);

/* side_file.c */
void side_file_drained(struct mg_worker *w, struct request *r);
void side_on_file(struct mg_worker *w, const struct net_event *event);
