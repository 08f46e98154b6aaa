/* What the files of proxy share. Nobody outside this folder includes it.
 *
 * A link is one connection to a server. It outlives the exchange that made it, and its number is the `owner` of its net events.
 *
 *   FREE ─▶ CONNECTING ─▶ BUSY ⇄ IDLE
 *    ▲          └──────────┴──────┴──▶ CLOSING ─ NET_CLOSED ─▶ FREE
 *
 * An exchange:
 *   FREE ─begin─▶ CONNECTING ─▶ WAITING ─head─▶ CONTENT ─┐
 *                  ▲ └─ refused: the next server          ├─▶ OVER ─ the last event is told ─▶ FREE
 *                  └──────┴─ a kept connection was stale ─┘ */
#pragma once
#include <stdbool.h>

#include "base/reserve.h"
#include "http/head.h"
#include "net/net.h"
#include "proxy/address.h"
#include "proxy/balance.h"
#include "proxy/exchange.h"
#include "proxy/failure.h"
#include "proxy/pool.h"

enum { LINK_NONE = UINT32_MAX, PARTIAL_HEAD_BYTES = 16384, RENDER_BYTES = 65536 + 4096 };

enum link_state { LINK_FREE, LINK_CONNECTING, LINK_BUSY, LINK_IDLE, LINK_CLOSING };

struct link {
    struct upstream *upstream;
    struct exchange *exchange; /* CONNECTING and BUSY */
    uint32_t server, conn;
    uint32_t next, prev;       /* among the idle ones of the server; next: among the free */
    uint8_t state;             /* enum link_state */
};

struct server {
    struct proxy_address address;
    uint32_t idle_first, idle_count; /* the first is the last used */
    uint32_t links;
};

struct upstream {
    char name[PROXY_NAME_BYTES + 1];
    uint32_t opens; /* handles given out; 0: lives on for its users alone */
    uint32_t users; /* links and exchanges */
    uint32_t server_count;
    struct balance balance[PROXY_SERVERS_MAX];
    struct server servers[PROXY_SERVERS_MAX];
};

/* A response head that is not whole yet. */
struct partial {
    struct partial *next;
    uint32_t bytes;
    struct http_head_progress progress;
    struct http_head head;
    char text[PARTIAL_HEAD_BYTES + 64]; /* the parser may read 64 bytes past the end */
};

enum exchange_state { EXCHANGE_FREE, EXCHANGE_CONNECTING, EXCHANGE_WAITING, EXCHANGE_CONTENT, EXCHANGE_OVER };

struct exchange {
    struct exchange *next, *prev; /* among the due ones; next: among the free */
    struct upstream *upstream;
    struct link *link;
    struct partial *partial;
    struct net_queue kept;
    struct http_body body;
    struct failure failure;
    uint64_t tried;        /* servers that refused, by index */
    uint64_t sent_before;  /* bytes the kernel had taken on this connection before the exchange */
    uint64_t content_left; /* of the announced length */
    double due_ms;         /* of the connection's deadline; 0: none */
    uint32_t user, generation;
    uint32_t server;       /* the one in use, or the last that was */
    uint8_t state;         /* enum exchange_state */
    uint8_t ending;        /* the proxy_event_kind that ends it; 0: not over */
    uint8_t method, body_kind;
    uint8_t interim;       /* 1xx responses so far */
    uint8_t moves;         /* connections it has been given */
    bool sent_all : 1;     /* the request is complete */
    bool persistent : 1;   /* the response lets the connection be used again */
    bool full : 1;         /* PROXY_WRITABLE is owed */
    bool due : 1;
};

struct exchange_list {
    struct exchange *first, *last;
};

struct proxy {
    struct net *net;
    struct proxy_options options;
    struct upstream *upstreams[PROXY_UPSTREAMS_MAX];

    struct reserve link_store, exchange_store;
    struct link *links;
    uint32_t link_room, link_top, link_free, link_count;

    struct exchange *exchanges;
    struct exchange *exchange_free;
    uint32_t exchange_room, exchange_top, exchange_count;
    struct exchange_list due; /* those with something to tell */

    struct partial *partial_free;
    struct partial *partial_lent; /* the one that the last PROXY_HEAD points into */
    uint32_t partial_count;

    struct link *input_link; /* bytes of the present net event that are not consumed yet, and whose they are; NULL: none */
    const char *input;
    uint32_t input_bytes;

    struct http_scan scan;
    struct http_head head;   /* of the last PROXY_HEAD */
    struct proxy_facts facts;
    char sentence[512];      /* of the last PROXY_FAILED or PROXY_BROKEN */
    char render[RENDER_BYTES];
};

/* pool.c */
struct upstream *upstream_of(const struct proxy *proxy, int handle); /* NULL: no such handle */
void upstream_use(struct upstream *upstream);
void upstream_drop(struct upstream *upstream);
struct link *link_take(struct proxy *proxy, struct upstream *upstream, uint32_t server); /* a kept one, now BUSY, or NULL */
int link_connect(struct proxy *proxy, struct upstream *upstream, uint32_t server, struct link **ret_link);
void link_connected(struct link *link);
void link_keep(struct proxy *proxy, struct link *link); /* to the idle ones, or closed when there are enough */
void link_close(struct proxy *proxy, struct link *link);
void link_closed(struct proxy *proxy, struct link *link); /* NET_CLOSED has come */
void pool_fini(struct proxy *proxy);

/* exchange.c */
uint32_t exchange_number(const struct proxy *proxy, const struct exchange *x);
void exchange_move(struct exchange *x, enum exchange_state to);
void exchange_deadline(struct proxy *proxy, struct exchange *x, uint32_t ms);
void exchange_connected(struct proxy *proxy, struct exchange *x);
void exchange_refused(struct proxy *proxy, struct exchange *x, struct failure why); /* asks the next server, or ends as FAILED */
void exchange_lost(struct proxy *proxy, struct exchange *x, int error); /* tries again, or ends as FAILED or BROKEN */
void exchange_fail(struct proxy *proxy, struct exchange *x, struct failure failure);
void exchange_finish(struct proxy *proxy, struct exchange *x);
void exchange_put(struct proxy *proxy, struct exchange *x);
void due_add(struct proxy *proxy, struct exchange *x);
void due_remove(struct proxy *proxy, struct exchange *x);
void exchanges_fini(struct proxy *proxy);

/* response.c */
void partial_put(struct proxy *proxy, struct partial **partial);
void partials_fini(struct proxy *proxy);
