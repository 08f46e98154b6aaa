/* The defaults of proc/limits.h. */
#include "proc/limits.h"

struct proc_limits proc_limits = {
    .load_ms = 10000,
    .start_ms = 60000,
    .grace_ms = 1000,
    .kill_ms = 5000,
    .command_ms = 5000,
    .rest_first_ms = 100,
    .rest_most_ms = 5000,
    .healthy_ms = 30000,
    .port_retry_ms = 200,
};
