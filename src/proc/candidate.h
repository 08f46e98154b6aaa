/* User code runs first in a disposable child: a candidate config that loops, crashes or exits hurts nobody. A config comes in; its
 * plan and the snapshot of its sources go out, or an explanation. */
#pragma once
#include <poll.h>

#include "proc/options.h"
#include "proc/plan.h"
#include "proc/text.h"

enum { CANDIDATE_POLLS = 3 };

/*           start                 ended
 *   NONE -----------> LOADING ------------> ENDED       candidate_take() → NONE
 *                        |  too late, or cut    ^
 *                        +------> KILLED -------+ */
enum candidate_state { CANDIDATE_NONE, CANDIDATE_LOADING, CANDIDATE_KILLED, CANDIDATE_ENDED };

struct candidate {
    enum candidate_state state;
    const struct options *options;
    pid_t pid;
    int handle;        /* pidfd, -1: none; so are the next */
    int out, err;      /* pipes: the plan, what it says to standard error */
    int sources;       /* memfd */
    int status;        /* of its end */
    int64_t due_ms;    /* killed, or given up, then */
    bool late;
    char *plan;
    uint32_t plan_bytes, plan_capacity;
    struct text said;  /* problems, as a user would read them */
};

void candidate_init(struct candidate *candidate);
/* Has the config of the command line evaluated (vm_plan) within proc_limits.load_ms; what it says to standard error is kept. 0 or -errno. */
int candidate_start(struct candidate *candidate, const struct options *options, int64_t now_ms);
/* What to poll for: CANDIDATE_POLLS entries. */
void candidate_polls(const struct candidate *candidate, struct pollfd *ret_polls);
/* Reads, waits and kills; `polls` after poll(2). */
void candidate_turn(struct candidate *candidate, const struct pollfd *polls, int64_t now_ms);
/* INT64_MAX: nothing is due. */
int64_t candidate_due(const struct candidate *candidate);
/* Of one that has ended. -1: ret_plan is whole and *ret_sources a sealed memfd, now the caller's; otherwise an exit code: candidate->said
 * has the problems, and ret_plan the files concerned. In both cases the caller ends ret_plan with plan_fini(). */
int candidate_take(struct candidate *candidate, struct plan *ret_plan, int *ret_sources);
/* Ends it at once, whatever it does. */
void candidate_fini(struct candidate *candidate);

/* The same, waited for here, its standard error being ours. `signals` is signals_open()'s: SIGTERM and SIGINT end the wait with EXIT_OK. */
int candidate_plan(const struct options *options, int signals, struct plan *ret_plan, int *ret_sources);
/* Runs vm_command() in such a child, on our standard output and error; its exit code. */
int candidate_command(const struct options *options, int signals);
