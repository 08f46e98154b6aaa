/* The terms of an exchange: how long it may take, when it is tried again, what of the request's head is rewritten, which upgrades pass.
 * Comes in: lines of text, made of the options of an upstream and a route (lua/moongate/proxy_options.lua). Goes out: a struct by handle,
 * counted by its users; equal lines share one. What is not said follows proxy_options, as they are when it is asked for. */
#pragma once
#include "base/slice.h"

struct proxy;

enum { PROXY_TERMS_MAX = 4096, TERMS_STATUSES_MAX = 8, TERMS_UNSAID = 0xffffffff, TERMS_ATTEMPTS_MAX = 10 };

/* What is tried again, while no byte of a response has come. Statuses are those of a response head that then is not passed on. */
enum retry_cause {
    RETRY_CONNECT = 1 << 0,   /* refused, unreachable or not connected in time: nothing was sent */
    RETRY_CLOSED = 1 << 1,    /* the server ended or reset the connection before a response head */
    RETRY_TIMEOUT = 1 << 2,   /* no response head in time */
    RETRY_MALFORMED = 1 << 3, /* a response head that is none */
};

enum host_policy { HOST_PRESERVE, HOST_UPSTREAM, HOST_NAME };

/* Which of the fields that name the client are written. */
enum forwarded_form { FORWARDED_X = 1 << 0 /* X-Forwarded-For, -Proto, -Host */, FORWARDED_STANDARD = 1 << 1 /* Forwarded, RFC 7239 */ };

struct terms {
    uint32_t users;              /* handles given out, and exchanges */
    /* Milliseconds; 0: without limit; TERMS_UNSAID: as proxy_options say. */
    uint32_t connect_ms;         /* one attempt to connect */
    uint32_t send_ms;            /* between two steps of the server's taking the request */
    uint32_t head_ms;            /* from the last byte of the request to the response head */
    uint32_t between_ms;         /* between two pieces of response content */
    uint32_t total_ms;           /* from proxy_begin() to the last byte of the response, all attempts among it */
    uint32_t tunnel_ms;          /* neither side of a tunnel says anything */
    uint32_t hedge_ms;           /* no response head since: another server is asked as well, once. 0: never */
    uint32_t attempts;           /* in all, the first among them */
    uint32_t retry_on;           /* enum retry_cause */
    uint32_t retry_methods;      /* 1 << enum http_method: those that may have been sent, and are sent again all the same */
    uint16_t statuses[TERMS_STATUSES_MAX]; /* up to the first 0 */
    uint32_t replay_bytes;       /* of a request that are kept for another attempt; TERMS_UNSAID as above */
    uint8_t same;                /* 1: when all servers failed, they are asked again: what for was said */
    uint8_t host;                /* enum host_policy */
    uint8_t forwarded;           /* enum forwarded_form; 0: neither, and those of the client are taken away */
    uint8_t traces;              /* 1: traceparent gets a span of its own, or is begun; 0: as the client sent it */
    uint8_t ids;                 /* 1: a request without X-Request-Id gets one */
    uint16_t share;              /* of the budget that attempts after the first come from: per 1000 requests */
    struct slice upgrades;       /* protocols, in lower case, that a client may change to: words parted by spaces */
    struct slice host_name;      /* for HOST_NAME */
    struct slice strip, prefix;  /* taken off the path where it begins with that, and put before what is left */
    char text[];                 /* the lines, which the slices point into behind them */
};

/* A handle ≥ 0; -EINVAL: a line that is none; -ENOMEM; -ENOSPC: there are PROXY_TERMS_MAX already. */
int proxy_terms_open(struct proxy *proxy, struct slice lines);
/* Exchanges that have it go on with it. */
void proxy_terms_close(struct proxy *proxy, int terms);
