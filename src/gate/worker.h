/* The worker: what it is born with, its turn, and what becomes of it. */
#pragma once
#include "gate/border.h"
#include "gate/routes.h"
#include "gate/stats.h"

struct mg_worker;
struct request;

struct worker_options {
    uint32_t number, first, debug, generation;
    int control, access_log, error_log;
    const int *listeners;
    const uint32_t *listener_numbers;
    uint32_t listener_count;
    const uint32_t *closed; /* routes that are answered 503; lent for the life of the worker */
    uint32_t closed_count;
    struct mg_stats *stats;
    const char *all_stats; /* of all workers, this one's among them, `stats_each` bytes apart; NULL: there are no others */
    uint32_t stats_each, stats_count;
    struct proxy_shared *shared; /* what workers share about servers; NULL: there are no others */
    uint32_t entry;              /* its place there */
    const char *changes;         /* of upstreams, as lines, made before it was born; lent for the call. NULL: none */
};
struct mg_worker *worker_new(const struct worker_options *options);
void worker_free(struct mg_worker *w);
/* Opens the engine with the settings as they are now. 0, or -errno with a sentence in border.text. */
int worker_open(struct mg_worker *w, const char *engine);
/* Accepts, and tells the master. */
int worker_serve(struct mg_worker *w);
/* This generation serves from now on: tells the master. */
void worker_ready(struct mg_worker *w, uint32_t generation);
/* The settings have changed: all bounds follow. NULL, or the key of one that could not grow so far; the setting says what holds. */
const char *worker_adapt(struct mg_worker *w);
/* New requests are matched with these. They stay the caller's, and must live until they are retired and have no requests. */
void worker_use_routes(struct mg_worker *w, struct routes *routes);
/* MG_CONTROL_RETIRED comes when the last of their requests has ended. */
void worker_retire_routes(struct mg_worker *w, struct routes *routes);
/* An event for Lua. The text is copied; `fd` comes as its slot. */
void worker_announce(struct mg_worker *w, enum mg_control what, double argument, struct slice text, int fd);
int32_t worker_next(struct mg_worker *w);
void worker_wake(struct mg_worker *w, double token, int32_t result);
/* Lua shall answer this request with `status`; `text` lives as long as the request. */
void worker_fail(struct mg_worker *w, struct request *r, int32_t status, const char *text);
void worker_end(struct mg_worker *w, const char *message, uint32_t bytes);
