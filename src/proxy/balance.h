/* Which server is next: smooth weighted round robin, and servers that failed step aside for a while. Pure: time is an argument. */
#pragma once
#ifndef MG_CDEF
#include <stdint.h>
#endif

enum {
    BALANCE_WEIGHT_MAX = 1000,
    BALANCE_DOWN_MS = 1000,      /* after the first failure; doubles with each further one */
    BALANCE_DOWN_MAX_MS = 30000,
    BALANCE_TRIAL_MS = 5000,     /* one request tries a failed server; the others keep away this long */
};

struct balance {
    int32_t weight;       /* 1..BALANCE_WEIGHT_MAX */
    int32_t credit;       /* private: of the round robin */
    uint32_t failures;    /* in a row */
    uint32_t trial;       /* private: one caller is trying it after its time aside */
    double down_until_ms; /* skipped before then while others remain */
};

/* Index of the next server that is not in the bit set `tried`; -1: none is left. A server whose time aside is over is given to one
 * caller as a trial. When all are aside, the one that may come back first. `count` ≤ 64. */
int balance_pick(struct balance *servers, uint32_t count, uint64_t tried, double now_ms);
/* The order in which the next request would try the servers, without taking a turn: `count` indexes. */
void balance_order(const struct balance *servers, uint32_t count, double now_ms, uint32_t *ret_order);
/* Connecting failed. Failures while it is already aside are counted as one. */
void balance_fail(struct balance *server, double now_ms);
/* Connecting succeeded. */
void balance_ok(struct balance *server);
