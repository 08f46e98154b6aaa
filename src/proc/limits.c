/* The defaults of proc/limits.h. */
#include "proc/limits.h"

struct proc_limits proc_limits = {
    .load_ms = 10000,
    .start_ms = 60000,
    .grace_ms = 1000,
    .kill_ms = 5000,
    .prepare_ms = 60000,
    .commit_ms = 10000,
    .release_ms = 300,
    .look_ms = 100,
    .ask_ms = 2000,
    .command_ms = 5000,
    .rest_first_ms = 100,
    .rest_most_ms = 5000,
    .blame_deaths = 3,
    .blame_ms = 600000,
    .healthy_ms = 30000,
    .watches_max = 8192,
    .port_retry_ms = 200,
};
