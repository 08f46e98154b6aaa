/* User code runs first in a disposable child: a candidate config that loops, crashes or exits hurts nobody.
 * A config comes in, its plan goes out, or an explanation on standard error. */
#pragma once
#include "proc/options.h"
#include "proc/plan.h"

/* Has the config of the command line evaluated (vm_plan) within proc_limits.load_ms. -1: the plan is in ret_plan; otherwise an exit
 * code, all said. `signals` is signals_open()'s: SIGTERM and SIGINT end the wait with EXIT_OK. */
int candidate_plan(const struct options *options, int signals, struct plan *ret_plan);
/* Runs vm_command() in such a child; its exit code. */
int candidate_command(const struct options *options, int signals);
