/* What requests may be sent a second time in all: a share of those that were sent once, and a few each second beside. So a server that
 * fails under its load does not get more of it. Pure: time is an argument. */
#pragma once
#ifndef MG_CDEF
#include <stdint.h>
#endif

enum {
    BUDGET_FLOOR_PER_SECOND = 10, /* also the most of these that are saved up */
    BUDGET_LIFE_MS = 10000,       /* what was earned is lost over this time */
};

/* Begins all zero. */
struct budget {
    double earned, floor, at_ms; /* earned: in thousandths */
};

/* A request was sent for the first time; `share`: of 1000. */
void budget_earn(struct budget *budget, uint32_t share, double now_ms);
/* 1: it may be sent again, and that is taken off; 0: there is nothing left. */
int budget_take(struct budget *budget, double now_ms);
