/* A hierarchical timer wheel: millisecond ticks, constant-time insert and remove, time is an argument.
 * Six levels of 64 slots reach 2^36 ms; a node further away waits in the last slot and is put back when that comes round.
 * Nodes fire in the order of their ticks, however late; those of one tick in the order they were inserted, when less than 2^36 ms ahead. */
#pragma once
#ifndef MG_CDEF
#include <stdint.h>
#endif

struct wheel_node {
    struct wheel_node *next, *prev; /* NULL while not in a wheel */
    uint64_t due;                   /* tick */
};

enum { WHEEL_LEVELS = 6, WHEEL_SLOTS = 64 };

struct wheel {
    uint64_t now; /* the last tick that wheel_advance() has seen */
    uint64_t occupied[WHEEL_LEVELS];
    struct wheel_node slot[WHEEL_LEVELS][WHEEL_SLOTS]; /* list heads */
    struct wheel_node expired;                         /* list head */
};

void wheel_init(struct wheel *wheel, uint64_t now);
/* `node` must not be in a wheel. Due now or earlier: it is in the next wheel_expired(). */
void wheel_insert(struct wheel *wheel, struct wheel_node *node, uint64_t due);
/* Does nothing to a node that is not in a wheel. */
void wheel_remove(struct wheel *wheel, struct wheel_node *node);
/* Moves time on; what is due by then can be had from wheel_expired(). */
void wheel_advance(struct wheel *wheel, uint64_t now);
/* Takes out one node that is due; NULL: none. */
struct wheel_node *wheel_expired(struct wheel *wheel);
/* Ticks from `now` until the wheel wants to be advanced again (never later than the first due node); UINT64_MAX: empty. */
uint64_t wheel_next(const struct wheel *wheel);
