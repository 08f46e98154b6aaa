/* What the files of proxy share. Nobody outside this folder includes it.
 *
 * A link is one connection to a server. It outlives the exchange that made it, and its number is the `owner` of its net events.
 *
 *   FREE ─▶ CONNECTING ─▶ BUSY ⇄ IDLE
 *    ▲          └──────────┴──────┴──▶ CLOSING ─ NET_CLOSED ─▶ FREE */
#pragma once
#include <stdbool.h>

#include "base/reserve.h"
#include "net/net.h"
#include "proxy/address.h"
#include "proxy/balance.h"
#include "proxy/exchange_inner.h"
#include "proxy/pool.h"

enum { LINK_NONE = UINT32_MAX, RENDER_BYTES = 65536 + 4096 };

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

struct proxy {
    struct net *net;
    struct proxy_options options;
    struct upstream *upstreams[PROXY_UPSTREAMS_MAX];
    struct terms *terms[PROXY_TERMS_MAX]; /* [0]: with nothing said */

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
