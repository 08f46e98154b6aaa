/* A new program takes over a running instance: started beside it with its sockets, its name and its control socket, it proves that it serves,
 * then the one before finishes its requests and ends. When the new one does not come to serve, nothing has changed.
 *
 *   the one before:  NONE --SIGUSR2, "upgrade"--> STARTING --"serving"--> GIVEN   ends when its requests have
 *                      ^                              | ended, too late
 *                      +------------------------------+
 *   the new one:     TAKING --all workers serve--> ASKING --"yours"--> NONE */
#pragma once
#include "proc/control.h"
#include "proc/inherit.h"
#include "proc/text.h"

struct master;

enum upgrade_state { UPGRADE_NONE, UPGRADE_STARTING, UPGRADE_GIVEN, UPGRADE_TAKING, UPGRADE_ASKING };

struct upgrade {
    enum upgrade_state state;
    int pid;             /* of the new one */
    int tell, errors;    /* to the other; what the new one says on standard error while it starts */
    int64_t began_ms, due_ms;
    struct text problems;
    struct inheritance before;
};

enum { UPGRADE_POLLS = 2 };

/* Remembers what to start: the program by its path, with the same words. Once, before anything else. */
void upgrade_remember(char **argv);
/* `before`: what inherit_init() found. */
void upgrade_init(struct upgrade *upgrade, const struct inheritance *before);
/* Starts the program that is now at our path. `client`: who asked, NULL: a signal. */
void upgrade_ask(struct master *master, struct client *client);
/* How long whoever asks may have to wait at most. */
int64_t upgrade_most_ms(void);
/* All workers of this master serve: announces it, or tells the master before first. True: it is ours to announce. */
bool upgrade_serves(struct master *master);
/* Standard error is that of the instance from here on. */
void upgrade_speak_up(struct master *master);
void upgrade_polls(const struct upgrade *upgrade, struct pollfd *ret_polls);
/* Moves on when something is ready or due. True: this master is the instance's now, and is to announce it. */
bool upgrade_turn(struct master *master, const struct pollfd *polls);
int64_t upgrade_due(const struct master *master);
/* The instance is told to stop: a new one that is starting is given up. */
void upgrade_stop(struct master *master);
/* Before the master ends: what belongs to another is left alone. */
void upgrade_end(struct master *master);
