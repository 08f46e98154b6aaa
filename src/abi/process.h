/* The part of the border that is about processes and generations: what a worker and its master say, route programs that live as long
 * as their requests, descriptors that were handed over. Part of moongate.h: the same rules hold. */
#pragma once
#include "gate/border.h"
#include "gate/bounds.h"
#include "gate/control.h"

struct mg_worker;
struct routes;

/* ---- generations ---- */

/* Routes as requests need them, compiled, and beside those that serve; requests matched with them say `number` as their program.
 * `body_bytes`: one limit per route number, < 0: the default. NULL: not enough memory. */
struct routes *mg_routes_make(const struct route_builder *b, const double *body_bytes, uint32_t routes, uint32_t number);
/* What a route is called, for the master's log when the worker dies in it. */
void mg_routes_name(struct routes *routes, uint32_t route, const char *text, uint32_t bytes);
/* How long a route's code may run without waiting, and how long it may take to begin its answer, in ms; 0: as the settings say. 0 or -ENOMEM. */
int32_t mg_routes_time(struct routes *routes, uint32_t route, double handler_ms, double grace_ms, double request_ms);
/* Why Lua was refused memory: its length. */
uint32_t mg_memory_told(char *ret, uint32_t bytes);
/* New requests are matched with these. */
void mg_routes_use(struct mg_worker *w, struct routes *routes);
/* They serve no more: MG_CONTROL_RETIRED comes when the last of their requests has ended, or soon when there are none. */
void mg_routes_retire(struct mg_worker *w, struct routes *routes);
/* Requests of theirs that live. */
uint32_t mg_routes_requests(const struct routes *routes);
/* Only when they were never used, or are retired and have no requests. */
void mg_routes_drop(struct routes *routes);
/* mg_settings() has changed: all bounds follow, live. 0; or -ENOMEM with the key of one that could not grow so far in border->text. */
int32_t mg_adapt(struct mg_worker *w);
/* Accepts on the sockets with these numbers ("0 1 5"), and ends the others. */
void mg_accept_on(struct mg_worker *w, const char *numbers, uint32_t bytes);
/* This generation serves from now on: tells the master. */
void mg_ready(struct mg_worker *w, double generation);
/* The request that has a slot: 1 while anybody needs it, with its target lent in border->text. */
int32_t mg_request_lives(struct mg_worker *w, uint32_t slot);
/* Slots in use are below it. */
uint32_t mg_request_top(const struct mg_worker *w);

/* bounds_row() (gate/bounds.h): 1, or 0 past the end. */
int32_t mg_bound(const struct mg_worker *w, uint32_t index, struct mg_bound *ret_bound);

/* ---- the heartbeat ---- */

/* This request goes on: a stretch of code begins that the master watches. */
void mg_beat(struct mg_worker *w, uint32_t slot);
/* A task begins or goes on. `most_ms` 0: it may take as long as a handler. */
void mg_beat_task(struct mg_worker *w, const char *what, uint32_t bytes, double most_ms);

/* ---- the master ---- */

/* Says something (enum control_kind); waits in order while the master is slow. 0, or -ENOBUFS: too much waits already. */
int32_t mg_say(struct mg_worker *w, uint32_t kind, double argument, const char *text, uint32_t bytes);

/* ---- descriptors and the machine ---- */

/* All of it, or -errno. May block. */
int32_t mg_fd_write(int32_t fd, const char *bytes, uint32_t count);
/* Up to `count` bytes from `offset`: how many, 0 at the end, or -errno. */
int32_t mg_fd_read(int32_t fd, char *ret, uint32_t count, double offset);
/* Processors that this process may run on, at least 1. */
int32_t mg_processors(void);
