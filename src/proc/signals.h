/* Signals of the processes: the master reads them from a descriptor, its children begin with a plain set again. */
#pragma once
#include <stdint.h>
#include <sys/types.h>

/* Blocks the signals that the master answers to; a descriptor they can be read from, or -errno. */
int signals_open(void);
/* Takes one signal number; 0: none is left. */
int signals_next(int fd);
/* Makes a child's signals plain: nothing blocked, and all default, or (a worker's) those that speak to the master ignored. */
enum signals_of { SIGNALS_OF_CHILD, SIGNALS_OF_WORKER };
void signals_reset(enum signals_of whose);
/* In a worker: when the master dies, it has `limit_ms` to end by itself (it sees its control socket close); then the kernel ends it. */
void signals_outlive_master(pid_t master, int64_t limit_ms);
/* "SIGSEGV"; "signal 42" for those without a name. Valid until the next call. */
const char *signals_name(int number);
