/* The routes of a generation, as requests need them after they were matched: the program, the limits of content, the names. Counted:
 * each request keeps those that it was matched with until its slot is free, so that a new generation can serve beside it. */
#pragma once

#include <stdbool.h>

#include "base/slice.h"
#include "route/route.h"

/* How long its code may run without waiting, where that is not the default; 0: the default. */
struct route_time {
    uint32_t handler_ms, grace_ms;
    uint32_t request_ms; /* in all, waiting included */
};

struct routes {
    struct route_program *program;
    double *body_bytes; /* per route number; < 0: the default */
    char **names;       /* per route number; NULL: none */
    struct route_time *times; /* per route number; NULL: all have the default */
    uint8_t *closed;    /* per route number; NULL: none is: it has cost workers their lives */
    uint32_t least_ms;  /* the least handler_ms of its own; 0: none has one */
    uint32_t least_request_ms;
    uint32_t count;     /* route numbers are below it */
    uint32_t number;    /* what Lua calls them: `program` of their requests */
    uint32_t requests;  /* that were matched with them and live */
    uint32_t retired;   /* they serve no more: whoever made them is told when the last request has ended */
};

/* NULL: out of memory. */
struct routes *routes_new(const struct route_builder *builder, const double *body_bytes, uint32_t count, uint32_t number);
void routes_free(struct routes *routes);
/* What a route is called in the master's log. The first name stays. */
void routes_name(struct routes *routes, uint32_t route, struct slice text);
/* Is the route that a request was matched by closed? What is said then. */
bool routes_is_closed(const struct routes *routes, int32_t route);
extern const char routes_closed_text[];
/* 0 or -ENOMEM. */
int routes_time(struct routes *routes, uint32_t route, struct route_time time);
int routes_close(struct routes *routes, uint32_t route);
