/* The state of a running instance, shared by the files of the master: master.c turns its loop, supervise.c keeps its workers, reload.c
 * changes what they serve, ask.c asks them, status.c shows it. Nobody else includes this. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "gate/control.h"
#include "proc/ask.h"
#include "proc/changes.h"
#include "proc/control.h"
#include "proc/listen.h"
#include "proc/logs.h"
#include "proc/names.h"
#include "proc/options.h"
#include "proc/plan.h"
#include "proc/reload.h"
#include "proc/shm.h"
#include "proc/stores.h"
#include "proc/upgrade.h"
#include "proc/watch.h"
#include "proc/watchdog.h"

/* Those that leave take a place, too: a slot may be taken again while the process before still finishes its requests. */
enum { WORKERS_MAX = 2 * PLAN_WORKERS_MAX };

/*          fork            READY            stop            ENDED, limit       limit
 *   NONE -------> STARTING -----> SERVING -----> DRAINING -------------> ENDING -----> KILLED
 *
 * From each of them, when the process has ended: RESTING (a replacement is due later) or, when the instance stops or the worker's slot
 * is given up, NONE. */
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
    uint32_t generation; /* that it serves, or was born to serve */
    uint32_t preparing;  /* the generation it builds beside that; 0: none */
    bool prepared;       /* has built it */
    bool committing;     /* has been told to serve it */
    bool leaving; /* its slot is given up: nobody comes after it */
    bool renewed; /* ended for one of a newer generation */
    bool cut;    /* had to be ended before its requests were */
    bool failed; /* said CONTROL_FAILED */
    int64_t probe_due_ms; /* must have turned once more by then; INT64_MAX: nobody doubts it */
    uint64_t probe_turn;
    struct glance glance;
    struct mg_stats *stats;
    struct mg_stats past; /* counters of the processes that had this slot before */
};

enum master_state { MASTER_BINDING, MASTER_STARTING, MASTER_SERVING, MASTER_STOPPING, MASTER_ENDED };

struct master {
    const struct options *options;
    struct plan plan;
    int sources;         /* memfd: the files of the generation; -1: none */
    uint32_t generation; /* that workers are born with */
    struct logs logs;
    struct claim claim;
    struct control control;
    struct listeners listeners;
    struct shm shm;
    struct stores stores;
    struct proxy_shared *shared;
    struct reload reload;
    struct asks asks;
    struct standings changes; /* of upstreams, made while it runs */
    struct watch watch;
    struct upgrade upgrade;
    struct watchdog watchdog;
    struct worker *workers; /* [WORKERS_MAX] */
    struct pollfd *polls;
    uint32_t worker_count; /* entries of `workers` that are or were in use */
    uint32_t slots;        /* how many workers there are to be */
    enum master_state state;
    bool once_done;  /* worker 1 has been ready: the once-per-instance hooks have run */
    bool waiting;    /* for a port: said so */
    bool told;       /* why the start fails */
    int signals, exit_code;
    int64_t now_ms, started_ms, stopping_ms, generation_ms, bind_due_ms, bind_until_ms;
    int64_t look_due_ms, alive_due_ms; /* tell_to_look(); sign of life for a service manager; INT64_MAX: nobody wants one */
    uint32_t drained, cut; /* workers, while stopping */
    uint64_t descriptors;
};

/* ---- master.c ---- */
/* Begins to stop; asked again, hurries. */
void master_stop(struct master *master, const char *why);
/* How many workers a plan asks for, the command line considered. */
uint32_t master_slots(const struct master *master, const struct plan *plan);
/* Whether so many workers and addresses fit the limit of open files; false: ret_problem (≥ LISTEN_PROBLEM_BYTES) says what is needed. */
bool master_has_room(const struct master *master, uint32_t slots, uint32_t addresses, char *ret_problem);

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
/* Brings the workers in line with master->slots and master->generation: those of slots given up finish their requests and end, those that
 * do not serve yet begin anew, missing ones are started. False: more processes would be there at once than can be kept. */
bool supervise_can_have(const struct master *master, uint32_t slots);
void supervise_adjust(struct master *master);
/* A worker that was too slow must show that it lives, or it is ended and replaced. */
void supervise_doubt(const struct master *master, struct worker *worker);
/* Ends and replaces a worker that does not do what it must. `why` for the log. */
void supervise_end_stuck(struct master *master, struct worker *worker, const char *why);
/* The worker that holds a slot; NULL: none yet. */
struct worker *supervise_of_slot(const struct master *master, uint32_t slot);
/* Ends a worker at once; it is replaced. */
void supervise_kill(struct master *master, struct worker *worker);
bool supervise_all_serve(const struct master *master);
bool supervise_none_left(const struct master *master);

/* ---- tell.c ---- */
/* Sends a message, with a descriptor when `fd` ≥ 0. Waits a moment for room, no longer: a worker that takes none is ended by the limit
 * that the caller sets. */
void worker_tell(const struct worker *worker, enum control_kind kind, double argument, const char *text, int fd);

/* ---- worker.c ---- */
/* The life of a worker's process: closes what is the master's, then runs vm_worker(). */
void worker_main(const struct master *master, const struct worker *worker, int control, pid_t parent)
    __attribute__((noreturn));

/* ---- status.c ---- */
const char *master_state_name(enum master_state state);
void status_text(const struct master *master, struct text *text);
void status_json(const struct master *master, struct text *text);
