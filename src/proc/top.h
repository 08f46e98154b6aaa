/* `moongate top`: a running instance, live. */
#pragma once
#include "proc/options.h"

/* Samples the instance each second and has lua/moongate/cli_top.lua draw it, until "q", a signal, or the end of the instance. Exit code. */
int top_run(const struct options *options);
