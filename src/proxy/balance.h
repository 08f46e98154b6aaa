/* Which server is next. Comes in: seats with weights and what is known of their load, the set of those that may be used, and a key.
 * Goes out: the number of a seat. Pure: time is an argument, chance comes from a state of its own.
 *
 * At most 64 seats, so that a set of them is one word and a pick touches little memory. */
#pragma once
#ifndef MG_CDEF
#include <stdint.h>
#endif

enum {
    BALANCE_SEATS_MAX = 64,
    BALANCE_WEIGHT_MAX = 1000,
    BALANCE_SCALE = 100,       /* weights in use are finer than those written, for servers that begin slowly */
    BALANCE_TABLE = 65537,     /* places of the table that keys are looked up in; prime */
    BALANCE_DECAY_MS = 10000,  /* how long a slow answer is remembered */
};

enum balance_kind {
    BALANCE_P2C,     /* of two that chance picks, by weight, the one with less to do for how quickly it answers */
    BALANCE_LEAST,   /* the fewest requests in flight for its weight */
    BALANCE_ROUND,   /* smooth weighted round robin */
    BALANCE_HASH,    /* the same key goes to the same server (Maglev) */
    BALANCE_RANDOM,  /* by weight alone */
};

/* What one server has to do, whoever picked it. All zero: nothing is known. */
struct balance_load {
    uint32_t in_flight;
    float latency_ms;      /* rises at once with a slow answer, falls slowly; 0: it has not answered yet */
    double latency_at_ms;  /* when it was last measured */
};

struct balance_seat {
    const struct balance_load *load; /* lent; NULL: an empty seat */
    uint64_t name;                   /* what places it among the keys: equal for the same server, wherever it sits */
    uint32_t weight;                 /* in use now: 1 to BALANCE_WEIGHT_MAX × BALANCE_SCALE; 0: an empty seat */
    int32_t credit;                  /* private: of the round robin */
    uint32_t chance, other;          /* private: of drawing by weight */
};

struct balance {
    uint64_t usable;   /* bit set of seats that a request goes to first */
    uint64_t healthy;  /* those of them that nothing is known against; the rest is used because too many are out */
    uint64_t spare;    /* bit set of seats to try when none of the usable ones is left */
    uint64_t chance;   /* state of the generator; seeded apart in each worker */
    uint8_t kind;      /* enum balance_kind */
    uint8_t count;     /* private: usable seats, for drawing */
    uint8_t list[BALANCE_SEATS_MAX]; /* private */
    float latency_ms;  /* of all servers together: what one that is new is taken for */
    uint8_t *table;    /* BALANCE_TABLE seats by key, owned; NULL: not a hash */
    struct balance_seat seats[BALANCE_SEATS_MAX];
};

/* After `usable` or a weight has changed: O(seats). */
void balance_prepare(struct balance *balance);
/* After a seat was taken or left, for BALANCE_HASH: fills the table. 0 or -ENOMEM (keys are then spread by what is left). */
int balance_place(struct balance *balance);
void balance_fini(struct balance *balance);

/* The next seat that is not in `out`; -1: none is left. `key`: any 64 bits that decide it, whatever the kind; 0: there is none. */
int balance_pick(struct balance *balance, uint64_t out, uint64_t key, double now_ms);
/* The order in which the next request would try the seats, without taking a turn: their count. Chance is not asked: seats that it would
 * choose between stand in the order of what speaks for them. */
uint32_t balance_order(const struct balance *balance, uint64_t key, double now_ms, uint32_t *ret_order);

/* A server has answered after so many milliseconds. */
void balance_answered(struct balance *balance, struct balance_load *load, double ms, double now_ms);
/* A number of 64 bits that is spread well over all of them; of no bytes 0, otherwise never 0. */
uint64_t balance_hash(const char *bytes, uint32_t count);
