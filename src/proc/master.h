/* The master: runs an instance from its config to its end. Executes no user code, sees no request, waits for nobody without a limit. */
#pragma once
#include "proc/inherit.h"
#include "proc/options.h"

/* Serves what the command line says (run, serve, proxy) in the foreground, with what it was handed. Exit code; everything said. */
int master_run(const struct options *options, const struct inheritance *inherited);
/* Descriptors that a master with so many worker slots and addresses cannot do without. */
uint64_t master_room_needed(uint32_t slots, uint32_t addresses);
