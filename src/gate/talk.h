/* The conversation with the master (control.h says what), and the listening sockets that it hands over. */
#pragma once
#include <stdbool.h>

#include "base/slice.h"
#include "gate/control.h"

struct mg_worker;
struct said;

/* A listening socket, by the master's number for it. */
struct door {
    int fd;
    uint32_t number;
    bool open; /* the engine accepts on it */
};

enum { SAID_MAX = 1024 /* messages that wait for the master */ };

/* A route that is to be closed in a generation which does not serve here yet. */
struct closing {
    uint32_t route, generation;
};

enum { CLOSINGS_MAX = 64 /* as many as the master closes in one generation */ };

struct talk {
    int fd;           /* -1: there is no master */
    bool again;       /* a timer runs: the socket was full */
    struct said *said_first, *said_last;
    uint32_t said_count;
    struct door *doors;
    uint32_t door_count;
    struct closing closings[CLOSINGS_MAX];
    uint32_t closing_count;
};

/* 0; -ENOBUFS: too much waits to be said already. Text beyond a message's is cut. */
int talk_say(struct mg_worker *w, enum control_kind kind, double argument, const char *text, uint32_t bytes);
void talk_flush(struct mg_worker *w);
void talk_hear(struct mg_worker *w);
void talk_stop(struct mg_worker *w); /* the time for draining is over */
int talk_doors(struct mg_worker *w, const int *fds, const uint32_t *numbers, uint32_t count); /* the sockets that it is born with */
int talk_accept_all(struct mg_worker *w);
/* Accepts on the sockets with these numbers ("0 1 5") and no others. */
void talk_accept_on(struct mg_worker *w, struct slice numbers);
/* A generation serves: closes those of its routes that were told before. */
void talk_close_routes(struct mg_worker *w);
void talk_fini(struct talk *talk);
