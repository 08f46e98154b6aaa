/* Live reload: a candidate is evaluated beside the running generation, built in every worker beside it, and put in service in all of
 * them, or forgotten. What others must know of it; the machine is in reload.c. */
#pragma once
#include "proc/candidate.h"
#include "proc/listen.h"
#include "proc/logs.h"
#include "proc/plan.h"
#include "proc/text.h"

struct master;
struct worker;

/*            asked           plan is sound       sockets, logs open         all PREPARED             all READY
 *   IDLE ----------> LOADING -------------> OPENING -------------> PREPARING ----------> COMMITTING -----------> IDLE
 *     ^                 | problems             | refused               | FAILED, dead,
 *     |                 |                      |                       | too late
 *     +-----------------+----------------------+-----------------------+   nothing has changed
 *
 * Every state has a limit. What is asked meanwhile begins when this has come back to IDLE. */
enum reload_state { RELOAD_IDLE, RELOAD_LOADING, RELOAD_OPENING, RELOAD_PREPARING, RELOAD_COMMITTING, RELOAD_STATES };

/* Who asked; as bits, for several may have. */
enum reload_cause { RELOAD_BY_COMMAND = 1, RELOAD_BY_SIGNAL = 2, RELOAD_BY_WATCH = 4 };

struct reload {
    enum reload_state state;
    uint32_t round;       /* the number of this reload, good or bad; those who wait for it have it as their ticket */
    uint32_t causes;      /* of this one */
    uint32_t next_causes; /* of the one that follows; 0: nobody has asked */
    int64_t began_ms, due_ms;
    double began_files; /* by clock_files() */
    struct candidate candidate;
    struct plan plan; /* from here on: of the candidate */
    int sources;
    uint32_t number;  /* generation */
    uint32_t slots;
    struct listeners listeners;
    struct logs logs;
    bool has_listeners, has_logs; /* opened beside those in use */
    uint32_t numbers_given;       /* to generations, those that failed included */
    uint32_t routes_changed, listeners_changed;
    int64_t retry_ms;             /* OPENING: next attempt */
    struct text problems;         /* as a user reads them */
};

/* `generation`: the one that is served from the beginning. */
void reload_init(struct reload *reload, uint32_t generation);
/* Asks for a reload: begins one, or marks that another follows. Its round, for client->ticket. */
uint32_t reload_ask(struct master *master, enum reload_cause cause);
/* How long whoever asks now may have to wait at most. */
int64_t reload_most_ms(void);
/* What a worker says about a generation it builds or serves. */
void reload_hear(struct master *master, struct worker *worker, uint32_t kind, uint32_t generation, const char *text);
/* A worker serves now that was starting. */
void reload_worker_serves(struct master *master, struct worker *worker);
/* A worker's process has ended; `how` for people. */
void reload_worker_gone(struct master *master, struct worker *worker, const char *how);
/* Moves on when something is ready or due. `polls`: CANDIDATE_POLLS entries of candidate_polls(). */
void reload_turn(struct master *master, const struct pollfd *polls);
int64_t reload_due(const struct master *master);
/* The instance stops: what has not been put in service is forgotten, those who wait are told. */
void reload_stop(struct master *master);
void reload_fini(struct master *master);

/* ---- reload_told.c ---- */
/* The result, to those who wait for this round and to the log. */
void reload_tell_failed(struct master *master);
void reload_tell_done(struct master *master);
/* To all who wait for any. */
void reload_tell_stopping(struct master *master);
/* Each line of a text as one of the log. */
void reload_log_lines(struct master *master, enum log_level level, const struct text *text);
/* The instance's name cannot change while it lives. */
void reload_warn_name(struct master *master);
void reload_warn_engine(struct master *master);
/* Watches the files of the running generation, and those of the candidate that is being given up, if files are to be watched. */
void reload_watch(struct master *master);
