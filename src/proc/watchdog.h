/* Looks after code that runs for too long without waiting: what each worker runs is in memory that we share (gate/stats.h). Past the first
 * limit the worker is told to end that stretch, and only that; past the second it is killed and replaced. A route that costs workers their
 * lives again and again is closed: answered 503 by all, until the next reload. Time is measured here, so that no worker can hide. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "proc/text.h"

struct master;
struct worker;

enum { WATCHDOG_ROUTES_MAX = 64, WATCHDOG_NAME_BYTES = 96 };

struct blame {
    int32_t route;
    uint32_t deaths;
    int64_t first_ms;
    bool closed;
    char name[WATCHDOG_NAME_BYTES];
};

struct watchdog {
    uint32_t generation;  /* that the routes are of */
    uint32_t count;
    int64_t due_ms;       /* when to look again */
    struct blame blames[WATCHDOG_ROUTES_MAX];
};

/* What of one worker is remembered between two looks. */
struct glance {
    double beat;
    int64_t since_ms; /* that stretch was seen first; 0: none runs */
    bool told;
};

void watchdog_init(struct watchdog *watchdog);
/* Looks, when it is due. */
void watchdog_tick(struct master *master);
int64_t watchdog_due(const struct master *master);
/* A worker has died while it ran this; after too many such deaths the route is closed. */
void watchdog_blame(struct master *master, const struct worker *worker);
/* The routes of the running generation that are closed, at most WATCHDOG_ROUTES_MAX; how many. */
uint32_t watchdog_list(const struct master *master, uint32_t *ret_routes);
/* For status: their names as a JSON list, or in a line. */
void watchdog_json(const struct master *master, struct text *text);
void watchdog_text(const struct master *master, struct text *text);
