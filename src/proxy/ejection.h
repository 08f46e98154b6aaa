/* What a worker learns of a server from the requests it sends there: one that cannot be connected to, or that fails one request after
 * another, stands aside for a while, longer each time. Pure: time is an argument.
 *
 *   connecting failed ─▶ aside 1 s, 2 s, 4 s … 30 s; then one request tries it, and the others go on keeping away
 *   answers failed    ─▶ aside for the policy's time, twice that, three times …; then it takes part again */
#pragma once
#ifndef MG_CDEF
#include <stdint.h>
#endif

enum {
    EJECTION_CONNECT_MS = 1000,
    EJECTION_CONNECT_MAX_MS = 30000,
    EJECTION_TRIAL_MS = 5000, /* one request tries a server that could not be connected to; the others keep away this long */
};

struct ejection_policy {
    uint32_t errors; /* failed answers in a row that put a server aside; 0: never */
    uint32_t ms, max_ms;
};

struct ejection {
    double until_ms;   /* aside before then */
    double since_ms;   /* when it was put aside, or came back */
    uint32_t connects; /* failures to connect, in a row */
    uint32_t errors;   /* failed answers, in a row */
    uint32_t times;    /* that it was put aside for its answers, forgotten one by one as time passes without */
    uint8_t trial;     /* private: a request is trying it */
    uint8_t hard;      /* it could not be connected to: also when too many are out it is left alone */
};

/* Failures while it is already aside are counted as one. 1: it goes aside now. */
int ejection_connect_failed(struct ejection *e, double now_ms);
/* 1: it goes aside now. */
int ejection_answer_failed(struct ejection *e, const struct ejection_policy *policy, double now_ms);
/* It let us in. 1: that ends its time aside. */
int ejection_connected(struct ejection *e, double now_ms);
void ejection_answered(struct ejection *e);
int ejection_is_out(const struct ejection *e, double now_ms);
/* A request goes there after its time aside. 1: as the only one for a while. */
int ejection_try(struct ejection *e, double now_ms);
