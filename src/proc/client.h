/* The other end of the control socket: `moongate stop`, `status`, `reload`, `generations`, `explain`, `jit`. */
#pragma once
#include "proc/options.h"
#include "proc/text.h"

/* Finds the instance, says the command, prints the answer. Exit code. */
int client_run(const struct options *options);
/* Says one line to the instance and takes the whole answer, within `limit_ms` (0: the usual). Exit code; that there is no instance is said,
 * that it does not answer (EXIT_TIMEOUT) is not. */
int client_fetch(const struct options *options, const char *line, int64_t limit_ms, struct text *ret_answer);
