/* The other end of the control socket: `moongate stop`, `status`, `reload`, `generations`, `explain`. */
#pragma once
#include "proc/options.h"

/* Finds the instance, says the command, prints the answer. Exit code. */
int client_run(const struct options *options);
