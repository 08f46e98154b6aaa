/* The state of a running instance, shared by the files of the master: master.c turns its loop, supervise.c keeps its workers,
 * status.c shows it. Nobody else includes this. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "proc/control.h"
#include "proc/listen.h"
#include "proc/logs.h"
#include "proc/names.h"
#include "proc/options.h"
#include "proc/plan.h"
#include "proc/shm.h"

/*          fork            READY            stop            ENDED, limit       limit
 *   NONE -------> STARTING -----> SERVING -----> DRAINING -------------> ENDING -----> KILLED
 *
 * From each of them, when the process has ended: RESTING (a replacement is due later) or, when the instance stops, NONE. */
enum worker_state {
    WORKER_NONE,
    WORKER_STARTING,
    WORKER_SERVING,
    WORKER_DRAINING, /* told to finish its requests */
    WORKER_ENDING,   /* told to end now, or said that it does */
    WORKER_KILLED,
    WORKER_RESTING,
    WORKER_STATES,
};

struct worker {
    uint32_t number; /* of the slot, from 0; people see number + 1 */
    enum worker_state state;
    pid_t pid;
    int control; /* -1: closed */
    int64_t started_ms, ready_ms; /* 0: not yet */
    int64_t due_ms;               /* when something must happen next; INT64_MAX: never */
    uint32_t crashes;             /* in a row; decides the pause before the next replacement */
    uint32_t restarts;
    bool cut;    /* had to be ended before its requests were */
    bool failed; /* said CONTROL_FAILED */
    struct mg_stats *stats;
    struct mg_stats past; /* counters of the processes that had this slot before */
};

enum master_state { MASTER_BINDING, MASTER_STARTING, MASTER_SERVING, MASTER_STOPPING, MASTER_ENDED };

struct master {
    const struct options *options;
    struct plan plan;
    struct logs logs;
    struct claim claim;
    struct control control;
    struct listeners listeners;
    struct shm shm;
    struct worker *workers;
    struct pollfd *polls;
    uint32_t worker_count;
    enum master_state state;
    bool once_done;  /* worker 1 has been ready: the once-per-instance hooks have run */
    bool waiting;    /* for a port: said so */
    bool told;       /* why the start fails */
    int signals;
    int exit_code;
    int64_t now_ms, started_ms, stopping_ms;
    int64_t bind_due_ms, bind_until_ms;
    uint32_t drained, cut; /* workers, while stopping */
    uint64_t descriptors;
};

/* ---- supervise.c ---- */
/* Starts the workers, or the first when it has to be ready before the others. */
void supervise_start(struct master *master);
/* Takes what a worker has said. */
void supervise_hear(struct master *master, struct worker *worker);
/* Looks for workers that have ended: replaces them, or counts them when the instance stops. */
void supervise_reap(struct master *master);
/* Does what has become due. */
void supervise_tick(struct master *master);
int64_t supervise_due(const struct master *master);
/* Ends all workers: they finish their requests within the drain limit, or, with `now`, do not. May be repeated to hurry. */
void supervise_stop(struct master *master, bool now);
/* Hands the workers the log files that were opened anew. */
void supervise_reopen(struct master *master);
bool supervise_all_serve(const struct master *master);
bool supervise_none_left(const struct master *master);

/* ---- worker.c ---- */
/* The life of a worker's process: closes what is the master's, then runs vm_worker(). */
void worker_main(const struct master *master, const struct worker *worker, int control, pid_t parent)
    __attribute__((noreturn));

/* ---- status.c ---- */
const char *master_state_name(enum master_state state);
void status_text(const struct master *master, struct text *text);
void status_json(const struct master *master, struct text *text);
