/* Log lines: gathered in memory, written by the ring, never waited for. While one buffer is being written the other fills; when both are
 * full, lines are dropped and counted, and the count is logged when there is room again. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "gate/gate.h"

enum { LOG_BYTES = 65536 };

void sink_open(struct log_sink *sink, int fd)
{
    if (sink->fd > 2 && sink->fd != fd)
        close(sink->fd);
    sink->fd = fd;
    if (fd >= 0 && !sink->filling) {
        sink->filling = malloc(LOG_BYTES);
        sink->writing = malloc(LOG_BYTES);
    }
}

void sink_append(struct mg_worker *w, struct log_sink *sink, const char *bytes, uint32_t count)
{
    if (sink->fd < 0 || !sink->filling || !sink->writing)
        return;
    if (sink->filled + count > LOG_BYTES) {
        sink->dropped++;
        w->stats->log_dropped++;
        return;
    }
    memcpy(sink->filling + sink->filled, bytes, count);
    sink->filled += count;
}

static void start_write(struct mg_worker *w, struct log_sink *sink)
{
    uint32_t user = sink == &w->access ? USER_LOG_ACCESS : USER_LOG_ERROR;
    if (net_write(w->net, sink->fd, sink->writing + sink->written, sink->in_flight - sink->written, UINT64_MAX, user, 0) < 0)
        sink->in_flight = 0;
}

static void flush_sink(struct mg_worker *w, struct log_sink *sink)
{
    if (sink->filled == 0 || sink->in_flight > 0)
        return;
    char *full = sink->filling;
    sink->filling = sink->writing;
    sink->writing = full;
    sink->in_flight = sink->filled;
    sink->filled = sink->written = 0;
    start_write(w, sink);
    if (sink->dropped > 0) {
        char line[96];
        int bytes = snprintf(line, sizeof line, "log: %llu lines dropped: the log is slower than the traffic\n", (unsigned long long)sink->dropped);
        sink->dropped = 0;
        sink_append(w, &w->errors, line, (uint32_t)bytes);
    }
}

void sink_flush_all(struct mg_worker *w)
{
    flush_sink(w, &w->access);
    flush_sink(w, &w->errors);
}

void sink_written(struct mg_worker *w, struct log_sink *sink, int32_t result)
{
    if (result > 0)
        sink->written += (uint32_t)result;
    if (result > 0 && sink->written < sink->in_flight)
        start_write(w, sink);
    else
        sink->in_flight = 0;
}

/* The engine is gone: what is left goes out the plain way. */
void sink_finish(struct log_sink *sink)
{
    for (uint32_t at = sink->written; sink->in_flight > at;) {
        ssize_t n = write(sink->fd, sink->writing + at, sink->in_flight - at);
        if (n <= 0)
            break;
        at += (uint32_t)n;
    }
    for (uint32_t at = 0; at < sink->filled;) {
        ssize_t n = write(sink->fd, sink->filling + at, sink->filled - at);
        if (n <= 0)
            break;
        at += (uint32_t)n;
    }
    free(sink->filling);
    free(sink->writing);
    *sink = (struct log_sink){ .fd = -1 };
}

void worker_log(struct mg_worker *w, enum mg_log_level level, const char *text, uint32_t bytes)
{
    static const char *const names[] = { "debug", "info", "warn", "error" };
    if ((int)level < w->log_level)
        return;
    char head[96];
    struct timespec now;
    struct tm parts;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &parts);
    int count = snprintf(head, sizeof head, "%04d-%02d-%02dT%02d:%02d:%02d.%03ldZ %s worker %u: ", parts.tm_year + 1900, parts.tm_mon + 1, parts.tm_mday,
                         parts.tm_hour, parts.tm_min, parts.tm_sec, now.tv_nsec / 1000000, names[level & 3], w->border.worker + 1);
    if (bytes > LOG_BYTES / 4)
        bytes = LOG_BYTES / 4;
    sink_append(w, &w->errors, head, (uint32_t)count);
    sink_append(w, &w->errors, text, bytes);
    sink_append(w, &w->errors, "\n", 1);
    if (!w->net) { /* not serving yet: straight out */
        struct log_sink *sink = &w->errors;
        if (sink->fd >= 0 && sink->filling && write(sink->fd, sink->filling, sink->filled) >= 0)
            sink->filled = 0;
    }
}
