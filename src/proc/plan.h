/* What a config asks of the processes: the lines that vm_plan() writes (abi/vm.h) come in, a struct goes out. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "proc/address.h"

enum { PLAN_LISTEN_MAX = 64, PLAN_NAME_BYTES = 65, PLAN_ENGINE_BYTES = 16, PLAN_PATH_BYTES = 512, PLAN_WORKERS_MAX = 256, PLAN_PROBLEM_BYTES = 256 };
enum { PLAN_SHARED_MAX = 64 };

struct plan_route {
    const char *name, *fingerprint;
};

/* A dictionary of all workers. */
struct plan_shared {
    const char *name;
    double bytes;
};

struct plan {
    char name[PLAN_NAME_BYTES]; /* "": none given */
    uint32_t workers;           /* 0: one per CPU */
    char engine[PLAN_ENGINE_BYTES];
    int64_t drain_ms;
    bool once;  /* worker 1 must be ready before the others start */
    bool watch; /* a changed file is a reason to reload */
    char access_log[PLAN_PATH_BYTES], error_log[PLAN_PATH_BYTES]; /* "-": standard error; "": none */
    uint32_t listen_count, file_count, route_count, shared_count;
    struct plan_shared shared[PLAN_SHARED_MAX]; /* their text is `text` */
    struct address listen[PLAN_LISTEN_MAX];
    const char **files;        /* every file loaded, or, with problems, looked for in vain; owned, their text is `text` */
    struct plan_route *routes; /* owned; sorted by name, then fingerprint */
    char *text;                /* owned */
};

/* Reads a whole plan; `text` (from malloc) is the plan's from now on, whatever comes of it: end with plan_fini(). False: ret_problem
 * (≥ PLAN_PROBLEM_BYTES) says what is wrong. Keys for others are passed over. */
bool plan_parse(char *text, struct plan *ret_plan, char *ret_problem);
/* Reads the files alone, of a candidate with problems. */
void plan_parse_files(char *text, struct plan *ret_plan);
/* Whether the last line, "end", has come. */
bool plan_is_whole(const char *text, uint32_t bytes);
/* How many routes of `next` are not in `before`, or are in another form, or are gone. */
uint32_t plan_routes_changed(const struct plan *before, const struct plan *next);
void plan_fini(struct plan *plan);
