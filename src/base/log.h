/* One line of a log: when, how serious, what. Formats into the caller's buffer; knows no clock and no descriptor.
 *
 *   2026-11-21T05:03:54.123Z error worker 2 (pid 812): killed by SIGSEGV */
#pragma once
#ifndef MG_CDEF
#include <stdint.h>
#endif

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

enum {
    LOG_TIME_BYTES = 24,   /* of what log_time() writes */
    LOG_LINE_BYTES = 4096, /* a line no longer than this reaches a pipe in one piece (pipe(7), PIPE_BUF) */
    LOG_LINE_LEAST = 64,   /* smallest buffer for a line */
};

/* Writes LOG_TIME_BYTES bytes, ISO 8601 in UTC with milliseconds, no terminator. Years 1970 to 9999. */
void log_time(char *buffer, double unix_seconds);
/* Writes one line and its newline to `buffer` (`bytes` ≥ LOG_LINE_LEAST; no terminator) and returns its length. Control characters
 * of `text` are escaped, so that nobody can forge a line; what does not fit is cut and ends in "...". */
uint32_t log_line(char *buffer, uint32_t bytes, enum log_level level, double unix_seconds, const char *text, uint32_t text_bytes);
/* The same with a printf format; the text is bounded by LOG_LINE_BYTES. */
uint32_t log_format(char *buffer, uint32_t bytes, enum log_level level, double unix_seconds, const char *format, ...)
    __attribute__((format(printf, 5, 6)));
