/* What the files of proxy share. Nobody outside this folder includes it. Exchanges are in exchange_inner.h, servers and upstreams in
 * upstream.h. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

#include "base/reserve.h"
#include "net/net.h"
#include "proxy/alarm.h"
#include "proxy/choice.h"
#include "proxy/exchange_inner.h"
#include "proxy/names.h"
#include "proxy/pool.h"
#include "proxy/shared.h"
#include "proxy/upstream.h"

enum { RENDER_BYTES = 65536 + 4096, PROBES_MAX = 1024 };

static const uint32_t PROBE_OWNER = 1u << 31; /* of the connections of checks, with their number */

enum { NOTICES_MAX = 16, NOTICE_BYTES = 384 };

/* Sentences for the log; what does not fit is counted. */
struct notices {
    uint32_t first, count, lost;
    char text[NOTICES_MAX][NOTICE_BYTES];
};

struct probe;

struct proxy {
    struct net *net;
    struct proxy_options options;
    struct upstream *upstreams[PROXY_UPSTREAMS_MAX];
    struct upstream *all, *waiting;
    struct server *servers;
    struct name *names;
    struct resolver *resolver;
    struct alarms alarms;
    struct standings standings;
    struct notices notices;
    struct proxy_shared *shared;
    bool own_shared;          /* it is nobody else's */
    bool checks;              /* this worker is the one that checks servers */
    struct alarm election;
    struct probe *probes[PROBES_MAX];
    bool freed;               /* a connection has become free since waiting_turn() */
    struct terms *terms[PROXY_TERMS_MAX]; /* [0]: with nothing said */
    uint64_t chance;          /* state of what requests are known by */

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
uint64_t proxy_random(struct proxy *proxy);

/* health.c */
void health_on_net(struct proxy *proxy, const struct net_event *event);
void health_follow(struct proxy *proxy); /* upstreams or servers have changed */
void health_fini(struct proxy *proxy);
void probe_free(struct proxy *proxy, struct probe *probe);

/* notice.c: for proxy_notice() */
void notice(struct proxy *proxy, const char *format, ...) __attribute__((format(printf, 2, 3)));
