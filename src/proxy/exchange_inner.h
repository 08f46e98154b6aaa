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
    struct link *hedge;    /* a second server that was asked as well; NULL: none */
    struct partial *partial; /* a response head, or the trailers behind its content */
    struct net_queue kept; /* the request so far, as long as it may have to be sent again */
    struct http_body body;
    struct failure failure;
    uint64_t tried;        /* seats whose servers failed, by number */
    uint64_t key;          /* for an upstream that goes by one; 0: none */
    uint64_t acked;        /* of the connection, when it was last looked at */
    uint64_t content_left; /* of the announced length */
    double due_ms;         /* of what is waited for now; 0: none. So the others: */
    double total_due_ms, hedge_due_ms;
    double wait_until_ms;  /* while it waits for a connection */
    uint32_t user, generation;
    uint32_t seat;         /* of the server in use, or of the last that was */
    int32_t wanted;        /* the seat that was asked for; -1: any */
    uint8_t state;         /* enum exchange_state */
    uint8_t ending;        /* the proxy_event_kind that ends it; 0: not over */
    uint8_t method, body_kind;
    uint8_t interim;       /* 1xx responses so far */
    uint32_t upgrade;      /* hash of the protocol that the client wants to change to; 0: none */
    uint8_t attempt;       /* the first is 1; a stale connection that is replaced counts as none */
    bool sent_all : 1;     /* the request is complete */
    bool persistent : 1;   /* the response lets the connection be used again */
    bool full : 1;         /* PROXY_WRITABLE is owed */
    bool due : 1;
    bool fresh : 1;        /* the connection in use was made for this exchange */
    bool again : 1;        /* the method may be sent twice */
    bool behind : 1;       /* the server had not taken all of the request when it was last looked at */
    bool deaf : 1;         /* the server takes nothing more, but may still have something to say */
    bool trailers : 1;     /* the client takes trailers, and the response may have some */
    bool interims : 1;     /* the client is told of interim responses */
    bool waits : 1;        /* CONNECTING, without a link: all connections are in use */
    bool tunnel : 1;       /* the protocol was changed: bytes, both ways */
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
void exchange_detach(struct proxy *proxy, struct exchange *x); /* its connections are closed */
void exchange_go(struct proxy *proxy, struct exchange *x); /* attempt.c: its time of waiting is over: it gets a connection, or ends as FAILED */
void exchange_fail(struct proxy *proxy, struct exchange *x, struct failure failure);
void exchange_finish(struct proxy *proxy, struct exchange *x);
void exchange_put(struct proxy *proxy, struct exchange *x);
void due_add(struct proxy *proxy, struct exchange *x);
void due_remove(struct proxy *proxy, struct exchange *x);
void exchanges_fini(struct proxy *proxy);

/* attempt.c */
void attempt_first(struct proxy *proxy, struct exchange *x, const char *head, uint32_t bytes);
void attempt_connected(struct proxy *proxy, struct exchange *x);
void attempt_over(struct proxy *proxy, struct exchange *x, struct failure why); /* another one, or the end */
int attempt_repeat(struct proxy *proxy, struct exchange *x, uint16_t status);   /* 1: a response with that status is not passed on */
void attempt_hedge(struct proxy *proxy, struct exchange *x);                    /* a second server is asked */
void hedge_drop(struct proxy *proxy, struct exchange *x);
void hedge_on_net(struct proxy *proxy, struct exchange *x, const struct net_event *event);

/* patience.c */
uint32_t patience_ms(uint32_t said, uint32_t otherwise);
void patience_set(struct proxy *proxy, struct exchange *x, uint32_t ms); /* for what is waited for now; 0: as long as it takes */
void patience_for_head(struct proxy *proxy, struct exchange *x);
void patience_for_content(struct proxy *proxy, struct exchange *x);
void patience_over(struct proxy *proxy, struct exchange *x);

/* response.c */
void partial_put(struct proxy *proxy, struct partial **partial);
void partials_fini(struct proxy *proxy);
