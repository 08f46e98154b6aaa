/* What an engine is made with. Part of net.h. */
#pragma once
#include <stdint.h>

/* Names: "auto", "io_uring", "epoll". */
enum net_engine {
    ENGINE_AUTO, /* what $MOONGATE_ENGINE says, "io_uring" or "epoll"; else the ring, and epoll where it is refused */
    ENGINE_IO_URING,
    ENGINE_EPOLL,
};

struct net_options {
    uint32_t connections;   /* clients and upstreams together at which accepting pauses; conn_connect gives -EMFILE at twice that and 1024 */
    uint32_t buffer_bytes;  /* bound of all output blocks and kept input, in bytes */
    uint32_t lent_buffers;  /* for what arrives, a power of two; 0: chosen */
    uint32_t lent_bytes;    /* size of each; 0: 4096 */
    uint32_t timers;        /* bound of running timers; 0: a million */
    uint32_t stall_ms;      /* NET_FAILED -ETIMEDOUT when a client takes nothing for so long (checked each quarter, told before 1.5 of it); 0: never */
    uint32_t engine;        /* enum net_engine */
};
