/* What a worker tells about itself, in memory that the master reads. Written by one thread with plain stores. */
#pragma once
#ifndef MG_CDEF
#include <stdint.h>
#endif

struct mg_stats {
    /* heartbeat: which turn, which route since when (0: between requests) */
    uint64_t turn;
    int64_t since_ms;
    int32_t route;
    int32_t pid;
    uint64_t accepted, closed, requests, answered[6]; /* answered[n]: status nxx; [0]: connection ended unanswered */
    uint64_t bytes_in, bytes_out;
    uint64_t refused;  /* answered by the gate itself: malformed, too large, too slow */
    uint64_t gone;     /* clients that left before their answer */
    uint64_t no_buffers, log_dropped;
    uint32_t connections, running, timers, out_bytes, generation;
    char route_name[96]; /* of `route`, for the log when the worker dies */
};
