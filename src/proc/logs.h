/* The log files of an instance and the master's own lines. */
#pragma once
#include "base/log.h"
#include "proc/plan.h"

struct logs {
    const struct plan *plan;
    int access, error; /* -1: none; 2: standard error */
    int debug;         /* say debug lines too */
    uint64_t dropped;  /* lines that nobody took since the last one that was written */
};

enum { LOGS_PROBLEM_BYTES = 640 };

/* Opens the files that the plan names. 0 or -errno with a sentence; nothing stays open. */
int logs_open(struct logs *ret_logs, const struct plan *plan, int debug, char ret_problem[LOGS_PROBLEM_BYTES]);
/* Opens them anew, after a rotation; a file that cannot be opened stays the old one. 0 or -errno with a sentence. */
int logs_reopen(struct logs *logs, char ret_problem[LOGS_PROBLEM_BYTES]);
void logs_close(struct logs *logs);
/* One line of the master. Never waits: what a full pipe does not take is dropped and counted. */
void logs_say(struct logs *logs, enum log_level level, const char *format, ...) __attribute__((format(printf, 3, 4)));
