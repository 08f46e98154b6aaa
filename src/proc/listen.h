/* The listening sockets: addresses come in, one socket for each address and worker slot goes out. The master owns them, so that a
 * worker's replacement finds the connections that wait in its predecessor's queue. A change is made beside what there is, and then
 * either becomes it or is forgotten: a socket that both have is never touched. */
#pragma once
#include <stdbool.h>

#include "proc/plan.h"

enum {
    LISTEN_BACKLOG = 4096,
    LISTEN_PROBLEM_BYTES = 512,
    LISTEN_SLOTS_MAX = PLAN_WORKERS_MAX,
    LISTEN_OF_WORKER_MAX = 64, /* sockets that one worker can accept on */
};

/* One address. Its socket of slot n has the number `number` + n, for as long as the instance lives; a unix socket is one for all slots. */
struct listener {
    struct address address; /* with the port chosen */
    uint64_t file;          /* inode of a unix socket's file */
    uint32_t number;
    uint32_t slots;         /* with a socket that is in use */
    uint32_t opened;        /* the same and those of a change not made yet */
    uint32_t listening;     /* of those opened; a slot's socket listens only when somebody is about to accept on it */
    bool shared;            /* there are fewer sockets than slots: a unix socket, or one that was handed to us */
    int fds[LISTEN_SLOTS_MAX];
};

struct listeners {
    uint32_t count;
    struct listener *list[PLAN_LISTEN_MAX]; /* owned, or shared with what a change was prepared beside */
};

/* A socket as workers know it. */
struct listen_socket {
    uint32_t number;
    int fd;
};

/* Prepares a change: `ret_next` has these addresses and at least so many slots, what `current` has already is kept. Nothing is different
 * for anybody yet. 0, or -errno with a sentence in ret_problem (≥ LISTEN_PROBLEM_BYTES); -EADDRINUSE names the holder. */
int listeners_open(const struct listeners *current, const struct address *addresses, uint32_t count, uint32_t slots,
                   struct listeners *ret_next, char *ret_problem);
/* Lets the new slots of known addresses listen: from here on connections may wait in them. 0, or -errno with a sentence. */
int listeners_listen(struct listeners *next, char *ret_problem);
/* Makes the change: `current` is `next`, and what it had beyond that is closed here. `next` is empty afterwards. */
void listeners_commit(struct listeners *current, struct listeners *next);
/* Forgets the change. */
void listeners_abandon(const struct listeners *current, struct listeners *next);
/* The sockets that the worker in `slot` of so many accepts on: its own, and those of slots without a worker. `in_use`: without those of a
 * change not made yet. Writes at most LISTEN_OF_WORKER_MAX; returns how many there are. */
uint32_t listeners_of(const struct listeners *listeners, uint32_t slot, uint32_t workers, bool in_use, struct listen_socket *ret_sockets);
/* How many addresses `next` has beyond `current`. */
uint32_t listeners_beyond(const struct listeners *next, const struct listeners *current);
/* How many descriptors they take. */
uint32_t listeners_descriptors(const struct listeners *listeners);
/* Closes them and removes the files of unix sockets that are still ours. */
void listeners_close(struct listeners *listeners);
