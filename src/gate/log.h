/* Logs of a worker: lines come in, are gathered in memory and leave by the ring; nobody waits for them. What finds no room is dropped,
 * what cannot be written is lost; both are counted and told in the error log. */
#pragma once
#include <stdint.h>

#include "gate/border.h"

struct mg_worker;

enum { SINK_BYTES = 65536 /* of each of its two buffers */ };

struct log_sink {
    int fd;
    char *filling, *writing;
    uint32_t filled, written, in_flight;
    uint64_t dropped, lost; /* lines: no room, and could not be written */
    int error;              /* of the last write: 0, or -errno */
};

void sink_open(struct log_sink *sink, int fd);
void worker_log(struct mg_worker *w, enum mg_log_level level, const char *text, uint32_t bytes);
void worker_logf(struct mg_worker *w, enum mg_log_level level, const char *format, ...) __attribute__((format(printf, 3, 4)));
void sink_append(struct mg_worker *w, struct log_sink *sink, const char *bytes, uint32_t count);
void sink_flush_all(struct mg_worker *w);                /* once a turn */
void sink_written(struct mg_worker *w, struct log_sink *sink, int32_t result);
void sinks_settle(struct mg_worker *w);              /* before the engine is freed: bounded waiting for what is being written */
void sink_finish(struct log_sink *sink);             /* after it: the rest, blocking */
