/* What the master can see of a worker while Lua runs in it (stats.h): which stretch of code, since it changed, and how long it may take.
 * A stretch begins when a request or a task begins or goes on, and ends when the next one does or when the worker waits for events. */
#pragma once
#include <stdint.h>

#include "base/slice.h"

struct mg_worker;
struct request;

/* A request runs, or goes on. */
void heart_beat(struct mg_worker *w, const struct request *r);
/* Something else runs; `most_ms` 0: as long as a handler may. */
void heart_task(struct mg_worker *w, struct slice what, double most_ms);
/* Routes or limits have changed. */
void heart_forget(struct mg_worker *w);
