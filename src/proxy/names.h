/* The names that servers are known by, with the addresses they had when last asked: part of inner.h. Shared by all upstreams of a worker,
 * so that a reload begins with what is known. Asked again when an answer's time is over; what was known stays while a name cannot be found. */
#pragma once
#include <stdbool.h>

#include "proxy/alarm.h"
#include "proxy/spec.h"
#include "proxy/resolve.h"

struct proxy;
struct upstream;

struct name {
    struct alarm alarm;        /* it is asked again */
    struct name *next;         /* of all */
    struct proxy *proxy;
    char host[PLACE_HOST_BYTES];
    char resolver[64];
    uint32_t holders;          /* seats of the table, and a question on its way */
    uint32_t ttl_min_ms, ttl_max_ms;
    uint32_t failures;         /* in a row */
    uint32_t count;
    bool is_service;
    bool asking;
    bool tried;                /* it was answered once, well or badly */
    char why[96];              /* of the last failure; "": the last answer was good */
    struct resolved list[RESOLVE_MAX];
};

/* Holds the name; the first asks for it. NULL: out of memory. */
struct name *name_get(struct proxy *proxy, const char *host, bool is_service, const struct spec_options *options);
void name_drop(struct proxy *proxy, struct name *name);
void names_fini(struct proxy *proxy);
