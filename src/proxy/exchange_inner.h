/* Exchanges as the files of proxy see them: part of inner.h.
 *
 * An exchange:
 *   FREE ─begin─▶ CONNECTING ─▶ WAITING ─head─▶ CONTENT ─┐
 *                  ▲ └─ refused: the next server          ├─▶ OVER ─ the last event is told ─▶ FREE
 *                  └──────┴─ a kept connection was stale ─┘ */
#pragma once
#include <stdbool.h>

#include "http/head.h"
#include "net/net.h"
#include "proxy/exchange.h"
#include "proxy/failure.h"
#include "proxy/terms.h"

struct link;
struct upstream;

enum { PARTIAL_HEAD_BYTES = 16384 };

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
    struct exchange *wait_next, *wait_prev; /* among those that wait for a connection */
    struct upstream *upstream;
    struct terms *terms;
    struct link *link;
    struct partial *partial;
    struct net_queue kept;
    struct http_body body;
    struct failure failure;
    uint64_t tried;        /* seats whose servers refused, by number */
    uint64_t key;          /* for an upstream that goes by one; 0: none */
    uint64_t sent_before;  /* bytes the kernel had taken on this connection before the exchange */
    uint64_t content_left; /* of the announced length */
    double due_ms;         /* of the connection's deadline; 0: none */
    double wait_until_ms;  /* while it waits for a connection */
    uint32_t user, generation;
    uint32_t seat;         /* of the server in use, or of the last that was */
    int32_t wanted;        /* the seat that was asked for; -1: any */
    uint8_t state;         /* enum exchange_state */
    uint8_t ending;        /* the proxy_event_kind that ends it; 0: not over */
    uint8_t method, body_kind;
    uint8_t interim;       /* 1xx responses so far */
    uint8_t moves;         /* connections it has been given */
    bool sent_all : 1;     /* the request is complete */
    bool persistent : 1;   /* the response lets the connection be used again */
    bool full : 1;         /* PROXY_WRITABLE is owed */
    bool due : 1;
    bool waits : 1;        /* CONNECTING, without a link: all connections are in use */
};

struct exchange_list {
    struct exchange *first, *last;
};

/* terms.c */
struct terms *terms_of(const struct proxy *proxy, int handle); /* NULL: no such handle */
void terms_drop(struct proxy *proxy, struct terms *terms);
void terms_fini(struct proxy *proxy);

/* exchange.c */
uint32_t exchange_number(const struct proxy *proxy, const struct exchange *x);
void exchange_move(struct exchange *x, enum exchange_state to);
void exchange_deadline(struct proxy *proxy, struct exchange *x, uint32_t ms);
void exchange_connected(struct proxy *proxy, struct exchange *x);
void exchange_refused(struct proxy *proxy, struct exchange *x, struct failure why); /* asks the next server, or ends as FAILED */
void exchange_lost(struct proxy *proxy, struct exchange *x, int error); /* tries again, or ends as FAILED or BROKEN */
void exchange_go(struct proxy *proxy, struct exchange *x); /* its time of waiting is over: it gets a connection, or ends as FAILED */
void exchange_fail(struct proxy *proxy, struct exchange *x, struct failure failure);
void exchange_finish(struct proxy *proxy, struct exchange *x);
void exchange_put(struct proxy *proxy, struct exchange *x);
void due_add(struct proxy *proxy, struct exchange *x);
void due_remove(struct proxy *proxy, struct exchange *x);
void exchanges_fini(struct proxy *proxy);

/* response.c */
void partial_put(struct proxy *proxy, struct partial **partial);
void partials_fini(struct proxy *proxy);
