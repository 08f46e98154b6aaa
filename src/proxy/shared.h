/* What the workers of a node share about servers: which of them checks, what it found, how many connections are in use by all together.
 * Comes in: memory that the master mapped before the first worker was born. A worker that dies is taken out of the sums by shared_forget().
 * Time is that of CLOCK_MONOTONIC, which all processes share. */
#pragma once
#ifndef MG_CDEF
#include <stdint.h>
#endif

enum { SHARED_SERVERS = 1024, SHARED_WORKERS = 512, SHARED_WHY_BYTES = 112, SHARED_PATIENCE_MS = 2000 };

enum shared_health { HEALTH_UNKNOWN, HEALTH_UP, HEALTH_DOWN, HEALTH_UNREACHABLE /* down, and it cannot be connected to */ };

/* What one worker adds to the sums. */
struct shared_row {
    uint32_t in_use, holds;
};

struct shared_server {
    uint32_t health;   /* enum shared_health; written by the worker that checks */
    uint32_t in_use;   /* connections, of all workers */
    uint32_t good, bad; /* checks in a row */
    double since_ms;   /* of that health */
    double back_ms;    /* when it last came up after it was down; 0: never */
    double took_ms;    /* the last check that was good */
    char why[SHARED_WHY_BYTES]; /* it is down, or the last check failed */
    struct shared_row rows[SHARED_WORKERS];
};

struct proxy_shared {
    uint32_t checker;  /* 1 + the worker that checks; 0: nobody */
    uint32_t version;  /* changes with every health */
    uint32_t finder;   /* 1 + the worker that looks for a place, alone, so that one server has one place; 0: nobody */
    double beat_ms;    /* when the checker was last seen */
    uint64_t names[SHARED_SERVERS];   /* hashes of identities; 0: free */
    uint32_t holders[SHARED_SERVERS]; /* 0: it may be given to another */
    struct shared_server servers[SHARED_SERVERS];
};

uint64_t shared_bytes(void);
/* The place of that server, held by this worker until shared_put(); NULL: all are taken, or it is another's turn for too long. */
struct shared_server *shared_get(struct proxy_shared *shared, uint64_t name, uint32_t worker);
void shared_put(struct proxy_shared *shared, struct shared_server *server, uint32_t worker);
/* A connection is in use, or not any more. */
void shared_use(struct shared_server *server, uint32_t worker, int32_t more);
uint32_t shared_in_use(const struct shared_server *server);
void shared_become(struct proxy_shared *shared, struct shared_server *server, enum shared_health health, double now_ms);
/* 1: this worker is the one that checks, since now or before. */
int shared_elect(struct proxy_shared *shared, uint32_t worker, double now_ms);
void shared_resign(struct proxy_shared *shared, uint32_t worker);
/* That worker has died, or begins. */
void shared_forget(struct proxy_shared *shared, uint32_t worker);
