/* Upstreams of one worker: servers, whose turn it is, and connections kept open between requests. Comes in: server lists from the
 * config. Goes out: a connection for an exchange (exchange.h). It does not decide which request goes where.
 *
 * A kept connection goes on receiving: the end of it, or a byte that nobody asked for, takes it out before it is used again. */
#pragma once
#include "base/slice.h"
#include "proxy/facts.h"

struct net;
struct proxy;
struct proxy_request;
struct proxy_shared;

enum { PROXY_SERVERS_MAX = 64, PROXY_UPSTREAMS_MAX = 256, PROXY_NAME_BYTES = 272 /* a name, or the text of a server */, PROXY_USERS = 40 };

/* Every bound of the room; 0 takes the default in brackets. */
struct proxy_options {
    uint32_t exchanges;       /* running at once [4096], at most 65535 */
    uint32_t connections;     /* to all servers, kept ones among them [8192] */
    uint32_t idle_per_server; /* connections kept per server [64] */
    uint32_t idle_ms;         /* a connection is kept this long [4000]: below what servers usually allow */
    uint32_t connect_ms;      /* one attempt to connect [5000] */
    uint32_t send_ms;         /* between two steps of the server's taking the request [30000] */
    uint32_t head_ms;         /* from the end of the request to the response head [60000] */
    uint32_t between_ms;      /* between two pieces of response content [60000] */
    uint32_t total_ms;        /* from the beginning to the last byte [0: as long as it takes] */
    uint32_t tunnel_ms;       /* neither side of a tunnel says anything [3600000] */
    uint32_t replay_bytes;    /* of a request that are kept to be sent again [32768] */
    uint32_t window_bytes;    /* request content waiting before the client is to be paused [65536] */
    uint32_t head_bytes;      /* longest response head [16384], at most that */
    uint32_t heads;           /* response heads that are here in part, at once [256] */
    struct proxy_shared *shared; /* of all workers of the node; NULL: this one is alone */
    uint32_t worker;          /* its place there */
    uint32_t user;            /* of NET_TIMER and NET_READY events: give those with it and the PROXY_USERS behind it to proxy_on_net() */
};

/* NULL: out of memory. The engine is lent for the life of the proxy. */
struct proxy *proxy_new(struct net *net, const struct proxy_options *options);
/* All exchanges and connections are forgotten, not closed: free the engine next. */
void proxy_free(struct proxy *proxy);
/* Other bounds from now on: all of the options but head_bytes and heads, as far as there is memory to grow. */
void proxy_adapt(struct proxy *proxy, const struct proxy_options *options);

/* `lines` say its servers and options (spec.h). An upstream with that name and those lines that is open already is shared; one that differs
 * shares the servers that are the same, connections and all: so a reload keeps its pools.
 * Returns a handle (≥ 0), or -EINVAL, -ENOSPC, -ENOMEM with a sentence in ret_message. */
int proxy_upstream_open(struct proxy *proxy, struct slice name, struct slice lines, char *ret_message, uint32_t message_bytes);
/* One for each open. After the last, kept connections are closed and exchanges in flight go on to their end. */
void proxy_upstream_close(struct proxy *proxy, int upstream);

/* The next sentence for the log about what became of a server or a name, lent until the next call; NULL: none. */
const char *proxy_notice(struct proxy *proxy);

/* 0, or -ENOENT: no such upstream, or no server with that index. */
int proxy_server_facts(const struct proxy *proxy, int upstream, uint32_t index, struct proxy_server_facts *ret_facts);

int proxy_upstream_facts(const struct proxy *proxy, int upstream, struct proxy_upstream_facts *ret_facts);
/* A line of its servers, as written, from 0; those that were added later stand behind. What is wrong with its name, bytes 0: nothing. 1: it has
 * addresses; 0: none; -ENOENT: there are no more. */
int proxy_upstream_line(const struct proxy *proxy, int upstream, uint32_t line, struct slice *ret_text, struct slice *ret_why);

/* Changes what is said of a server, from now on and for upstreams that are opened later (change.h). 0; or -EINVAL, -ENOENT (no such upstream
 * is open, or it has no such server), -ENOSPC, -ENOMEM with a sentence. `blindly`: also what nobody here knows. */
int proxy_change(struct proxy *proxy, struct slice line, int blindly, char *ret_message, uint32_t message_bytes);

/* Index of the server that this request (NULL: one that says nothing of itself) would be sent to (`at` 0), or that would be tried `at` failures
 * later; -ENOENT. Where chance would choose, the one with the most that speaks for it. */
int proxy_server_next(struct proxy *proxy, int upstream, uint32_t at, const struct proxy_request *request);

struct proxy_facts {
    uint32_t exchanges, connections, idle, upstreams;
    uint64_t connects;       /* attempts to connect, in all */
    uint64_t reused;         /* requests sent on a kept connection */
    uint64_t retried;        /* requests sent again because a kept connection was stale */
    uint64_t repeated;       /* further attempts, as the terms allow */
    uint64_t hedged;         /* requests for which a second server was asked */
};
void proxy_facts(const struct proxy *proxy, struct proxy_facts *ret_facts);
