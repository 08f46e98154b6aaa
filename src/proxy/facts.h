/* What can be said of upstreams and their servers, for people: plain data, read by C and by the FFI. */
#pragma once
#include "base/slice.h"

/* What is thought of a server, the worst first. */
enum server_state { SERVER_REMOVED, SERVER_DOWN, SERVER_DRAINING, SERVER_UNREACHABLE, SERVER_UNWELL, SERVER_ASIDE, SERVER_USED };

/* A server of an upstream: one address. Slices are lent until the next call. */
struct proxy_server_facts {
    struct slice label;      /* as written, and for a name its address in brackets */
    struct slice text;       /* as written */
    struct slice why;        /* of a check that failed; bytes 0: none did */
    uint32_t state;          /* enum server_state */
    uint32_t health;         /* enum shared_health */
    uint32_t weight, backup;
    uint32_t connections_max; /* 0: no limit */
    uint32_t connections;    /* of this worker, open or opening, kept ones among them */
    uint32_t idle;           /* kept */
    uint32_t in_flight;      /* requests */
    uint32_t failures;       /* to connect, in a row */
    double down_until_ms;    /* it stands aside until then, of the engine's clock */
    double latency_ms;       /* of this worker's requests; 0: none was answered */
    double requests, failed, refused; /* in all: answered, failed after that or instead of it, connecting in vain */
};

struct proxy_upstream_facts {
    uint32_t servers;        /* those with an address */
    uint32_t running, requests_max; /* exchanges; 0: no limit */
    uint32_t waiting, queue_max;    /* of them, for a connection */
};
