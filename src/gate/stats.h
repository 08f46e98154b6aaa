/* What a worker tells about itself, in memory that the master reads. Written by one thread with plain stores. */
#pragma once
#include "gate/settings.h"
#ifndef MG_CDEF
#include <stdint.h>
#endif

/* Of the files in memory. */
struct mg_file_stats {
    uint32_t entries, failed;     /* kept; those of them that say that there is nothing */
    uint32_t folders, by_age;     /* watched; entries that are looked at by age, because no event would tell of a change */
    int32_t by_age_why;           /* the last reason: -errno, or 0 for a file system without events */
    uint32_t loading;
    uint64_t bytes, budget;       /* with what was given up but is still being sent; what this worker may keep now */
    uint64_t hits, loads, evicted, changed, events, overflows;
};

struct mg_stats {
    uint64_t turn;
    /* the heartbeat: what Lua runs (heart.h) */
    double beat;       /* another number for each stretch of code */
    double stop_beat;  /* written by the master: the stretch that is to end */
    uint32_t busy;     /* 0: the worker waits for events */
    uint32_t soft_ms;  /* how long the stretch may take; 0: there is no limit */
    uint32_t grace_ms; /* and after it was told to end */
    uint32_t least_ms; /* the least of such limits that there is */
    int32_t route;     /* -1: no request runs */
    int32_t entry;     /* the number that its routes were matched by, with which they are closed */
    int32_t pid;
    uint64_t accepted, closed, requests, answered[6]; /* answered[n]: status nxx; [0]: connection ended unanswered */
    uint64_t bytes_in, bytes_out;
    uint64_t refused;  /* answered by the gate itself: malformed, too large, too slow */
    uint64_t gone;     /* clients that left before their answer */
    uint64_t no_buffers, log_dropped;
    uint32_t waiting, waiting_ms; /* handlers that waited when it was last looked, and the longest of them */
    uint32_t tasks;               /* Lua writes it */
    uint64_t kept_bytes;
    uint64_t lua_bytes, lua_refused; /* what Lua uses; how often it was refused more */
    uint32_t engine; /* enum net_engine; 0: not open yet */
    uint32_t connections, running, timers, timers_most, out_bytes, generation;
    struct mg_settings limits; /* as they are now */
    struct mg_file_stats files;
    char route_name[96]; /* what runs, for people */
};
