/* What a config asks of the processes: the lines that vm_plan() writes (abi/vm.h) come in, a struct goes out. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "proc/address.h"

enum { PLAN_LISTEN_MAX = 64, PLAN_NAME_BYTES = 65, PLAN_PATH_BYTES = 512, PLAN_WORKERS_MAX = 256, PLAN_PROBLEM_BYTES = 256 };

struct plan {
    char name[PLAN_NAME_BYTES]; /* "": none given */
    uint32_t workers;           /* 0: one per CPU */
    int64_t drain_ms;
    bool once; /* worker 1 must be ready before the others start */
    char access_log[PLAN_PATH_BYTES], error_log[PLAN_PATH_BYTES]; /* "-": standard error; "": none */
    uint32_t listen_count;
    struct address listen[PLAN_LISTEN_MAX];
};

/* Reads a whole plan (`text` is written over). False: ret_problem (≥ PLAN_PROBLEM_BYTES) says what is wrong. Keys for others, such
 * as the names of routes, are passed over. */
bool plan_parse(char *text, struct plan *ret_plan, char *ret_problem);
/* Whether the last line, "end", has come. */
bool plan_is_whole(const char *text, uint32_t bytes);
