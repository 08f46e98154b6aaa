/* Opens log files and writes the master's lines. */
#include "proc/logs.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "proc/clock.h"

/* Opens one log: ret_fd is -1 for none, standard error for "-". 0 or -errno. */
static int log_file_open(const char *path, int *ret_fd)
{
    *ret_fd = *path ? STDERR_FILENO : -1;
    if (*path == 0 || strcmp(path, "-") == 0)
        return 0;
    /* O_NONBLOCK: a pipe that nobody reads is refused instead of holding the start up. */
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0640);
    if (fd < 0)
        return -errno;
    fcntl(fd, F_SETFL, O_APPEND);
    *ret_fd = fd;
    return 0;
}

static void log_file_close(int fd)
{
    if (fd > STDERR_FILENO)
        close(fd);
}

static int explain(const char *key, const char *path, int failed, char *ret_problem)
{
    const char *why = failed == -ENOENT ? "no such folder" : failed == -EACCES ? "permission denied" : failed == -EISDIR ? "it is a folder"
                    : failed == -ENXIO ? "a pipe that nobody reads" : strerror(-failed);
    snprintf(ret_problem, LOGS_PROBLEM_BYTES, "%s: cannot write \"%s\": %s", key, path, why);
    return failed;
}

int logs_open(struct logs *ret_logs, const struct plan *plan, int debug, char ret_problem[LOGS_PROBLEM_BYTES])
{
    struct logs logs = { .plan = plan, .debug = debug };
    int failed = log_file_open(plan->error_log, &logs.error);
    if (failed)
        return explain("log.errors", plan->error_log, failed, ret_problem);
    failed = log_file_open(plan->access_log, &logs.access);
    if (failed) {
        log_file_close(logs.error);
        return explain("log.access", plan->access_log, failed, ret_problem);
    }
    *ret_logs = logs;
    return 0;
}

int logs_reopen(struct logs *logs, char ret_problem[LOGS_PROBLEM_BYTES])
{
    struct logs fresh;
    int failed = logs_open(&fresh, logs->plan, logs->debug, ret_problem);
    if (failed)
        return failed;
    logs_close(logs);
    logs->access = fresh.access;
    logs->error = fresh.error;
    return 0;
}

void logs_close(struct logs *logs)
{
    log_file_close(logs->access);
    log_file_close(logs->error);
    logs->access = logs->error = -1;
}

static void write_line(struct logs *logs, const char *line, uint32_t bytes)
{
    struct pollfd writable = { logs->error, POLLOUT, 0 };
    /* A pipe that is writable takes at least PIPE_BUF bytes without waiting (pipe(7)). */
    if (poll(&writable, 1, 0) != 1 || !(writable.revents & POLLOUT) || write(logs->error, line, bytes) < 0)
        logs->dropped++;
}

void logs_say(struct logs *logs, enum log_level level, const char *format, ...)
{
    char text[LOG_LINE_BYTES], line[LOG_LINE_BYTES];
    if (logs->error < 0 || (level == LOG_LEVEL_DEBUG && !logs->debug))
        return;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (logs->dropped) {
        uint64_t dropped = logs->dropped;
        logs->dropped = 0;
        uint32_t bytes = log_format(line, sizeof line, LOG_LEVEL_WARN, clock_unix(), "log: %llu lines dropped, nobody took them",
                                    (unsigned long long)dropped);
        write_line(logs, line, bytes);
        logs->dropped += logs->dropped ? dropped - 1 : 0;
    }
    write_line(logs, line, log_line(line, sizeof line, level, clock_unix(), text, (uint32_t)strlen(text)));
}
