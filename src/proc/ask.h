/* Questions to the workers: one line of a control client goes to each of them, what they say becomes one JSON array. */
#pragma once
#include "proc/control.h"

struct master;
struct worker;

struct ask_part {
    uint32_t worker; /* entry */
    bool done;
    struct text text;
};

struct ask {
    uint32_t ticket; /* 0: free */
    int64_t due_ms;
    uint32_t part_count;
    char *change; /* owned: what it changes in all workers, if they agree; NULL: it is only a question */
    struct ask_part *parts; /* owned */
};

struct asks {
    uint32_t tickets_given;
    struct ask list[CONTROL_CLIENTS_MAX]; /* a client asks once */
};

/* Puts the question to all workers that hear; the client is answered when all have answered, or proc_limits.ask_ms have passed. */
void ask_workers(struct master *master, struct client *client, const char *question);
/* The same with "change LINE", a change of an upstream; what no worker refuses stands from then on (changes.h). */
void ask_to_change(struct master *master, struct client *client, const char *line);
/* A part of an answer, or (`last`) its end. */
void ask_hear(struct master *master, const struct worker *worker, double ticket, const char *text, uint32_t bytes, bool last);
/* A worker will not answer any more. */
void ask_worker_gone(struct master *master, const struct worker *worker);
/* Answers what is complete or late. */
void ask_turn(struct master *master);
int64_t ask_due(const struct asks *asks);
void ask_fini(struct asks *asks);
