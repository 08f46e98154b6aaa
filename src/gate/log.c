/* Log lines: gathered in memory, written by the ring, never waited for. While one buffer is being written the other fills; when both are
 * full, lines are dropped; those and what cannot be written are counted, and the count is logged when there is room again. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "gate/gate.h"

enum { STOP_WRITE_MS = 1000 };

void sink_open(struct log_sink *sink, int fd)
{
    if (sink->fd > 2 && sink->fd != fd)
        close(sink->fd);
    sink->fd = fd;
    if (fd >= 0 && !sink->filling) {
        sink->filling = malloc(SINK_BYTES);
        sink->writing = malloc(SINK_BYTES);
    }
}

void sink_append(struct mg_worker *w, struct log_sink *sink, const char *bytes, uint32_t count)
{
    if (sink->fd < 0 || !sink->filling || !sink->writing)
        return;
    if (sink->filled + count > SINK_BYTES) {
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

static uint32_t lines_in(const char *bytes, uint32_t count)
{
    uint32_t lines = 0;
    for (const char *end = bytes + count; bytes < end && (bytes = memchr(bytes, '\n', (size_t)(end - bytes))); bytes++)
        lines++;
    return lines;
}

/* What could not be written is counted, and told in the error log: at the first time, and in sum when writing works again. */
static void note_failure(struct mg_worker *w, struct log_sink *sink, int error)
{
    uint32_t lines = lines_in(sink->writing + sink->written, sink->in_flight - sink->written);
    sink->lost += lines;
    w->stats->log_dropped += lines;
    if (!sink->error && sink == &w->access)
        worker_logf(w, MG_LOG_ERROR, "log.access: cannot be written: %s", strerror(error));
    sink->error = error;
}

static void note_success(struct mg_worker *w, struct log_sink *sink)
{
    if (!sink->error)
        return;
    worker_logf(w, MG_LOG_WARN, "%s: %llu lines were lost (%s); it can be written again", sink == &w->access ? "log.access" : "log.errors",
                (unsigned long long)sink->lost, strerror(sink->error));
    sink->error = 0;
    sink->lost = 0;
}

void sink_written(struct mg_worker *w, struct log_sink *sink, int32_t result)
{
    if (result > 0)
        sink->written += (uint32_t)result;
    if (result > 0 && sink->written < sink->in_flight) {
        start_write(w, sink);
        return;
    }
    if (result > 0)
        note_success(w, sink);
    else
        note_failure(w, sink, result < 0 ? -result : EIO);
    sink->in_flight = 0;
}

/* The plain way, for when there is no engine. */
static void sink_write_out(struct log_sink *sink)
{
    for (uint32_t at = 0; sink->fd >= 0 && at < sink->filled;) {
        ssize_t n = write(sink->fd, sink->filling + at, sink->filled - at);
        if (n <= 0)
            break;
        at += (uint32_t)n;
    }
    sink->filled = 0;
}

/* The end is near: waits, at most STOP_WRITE_MS, for what the kernel is writing, so that nothing is written twice or out of freed memory. */
void sinks_settle(struct mg_worker *w)
{
    struct net_event event;
    if (!w->net || (w->access.in_flight == 0 && w->errors.in_flight == 0))
        return;
    double until = net_now_ms(w->net) + STOP_WRITE_MS;
    net_timer_start(w->net, STOP_WRITE_MS, USER_LINGER, 0);
    while ((w->access.in_flight > 0 || w->errors.in_flight > 0) && net_now_ms(w->net) < until && net_turn(w->net, 1) == 0) {
        while (net_event_next(w->net, &event)) {
            if (event.kind == NET_DONE && event.user == USER_LOG_ACCESS)
                sink_written(w, &w->access, event.result);
            else if (event.kind == NET_DONE && event.user == USER_LOG_ERROR)
                sink_written(w, &w->errors, event.result);
        }
    }
}

/* The engine is gone: what is left goes out the plain way. What the kernel may still be writing stays its own. */
void sink_finish(struct log_sink *sink)
{
    sink_write_out(sink);
    free(sink->filling);
    if (sink->in_flight == 0)
        free(sink->writing);
    *sink = (struct log_sink){ .fd = -1 };
}

/* One entry: its first line as base/log.h writes it, further lines (a traceback) indented below it. */
void worker_log(struct mg_worker *w, enum mg_log_level level, const char *text, uint32_t bytes)
{
    static const enum log_level levels[] = { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARN, LOG_LEVEL_ERROR };
    char line[LOG_LINE_BYTES];
    const char *end = text + bytes, *first_end = memchr(text, '\n', bytes);
    if ((int)level < w->log_level)
        return;
    if (!first_end)
        first_end = end;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    uint32_t count = log_format(line, sizeof line, levels[level & 3], (double)now.tv_sec + (double)now.tv_nsec / 1e9, "worker %u: %.*s",
                                w->border.worker + 1, (int)(first_end - text), text);
    sink_append(w, &w->errors, line, count);
    while (first_end < end) {
        text = first_end + 1;
        first_end = memchr(text, '\n', (size_t)(end - text));
        if (!first_end)
            first_end = end;
        count = (uint32_t)snprintf(line, sizeof line, "    %.*s\n", (int)(first_end - text < 2000 ? first_end - text : 2000), text);
        sink_append(w, &w->errors, line, count);
    }
    if (!w->net) /* no engine yet: straight out */
        sink_write_out(&w->errors);
}

void worker_logf(struct mg_worker *w, enum mg_log_level level, const char *format, ...)
{
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    int bytes = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    worker_log(w, level, text, bytes < (int)sizeof text ? (uint32_t)bytes : (uint32_t)sizeof text - 1);
}
