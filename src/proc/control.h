/* The control socket of an instance: lines come in, answers go out, then the connection ends. Never waits for anybody.
 *
 *   > status json                    the command, one line
 *   < {"name": …}                    the answer until the end; "error: …" when it is refused
 *   < failed                         comes first when the answer says why it could not be done
 *   < wait 31000                     may come before all: the rest follows within so many milliseconds */
#pragma once
#include <poll.h>
#include <stdint.h>

#include "proc/text.h"

enum { CONTROL_CLIENTS_MAX = 32, CONTROL_LINE_BYTES = 4096, CONTROL_POLLS = CONTROL_CLIENTS_MAX + 1 };

enum client_state {
    CLIENT_NONE,
    CLIENT_ASKING,  /* its command is not whole */
    CLIENT_ASKED,   /* control_next() gives it out */
    CLIENT_WAITING, /* for the answer */
    CLIENT_TAKING,  /* the answer */
};

/* What a client that waits is waiting for. */
enum client_wait { WAIT_STOP, WAIT_RELOAD, WAIT_ASK, WAIT_UPGRADE };

struct client {
    enum client_state state;
    enum client_wait wait;
    uint32_t ticket; /* of the reload or question */
    int fd;
    int64_t due_ms; /* closed then; INT64_MAX while it waits for us */
    char line[CONTROL_LINE_BYTES];
    uint32_t line_bytes, sent;
    struct text answer;
};

struct control {
    int listener;
    struct client clients[CONTROL_CLIENTS_MAX];
};

void control_init(struct control *control, int listener);
/* What to poll for: writes CONTROL_POLLS entries, in the order that control_turn() expects. */
void control_polls(const struct control *control, struct pollfd *ret_polls);
/* Accepts, reads and sends what is ready and closes what is late. */
void control_turn(struct control *control, const struct pollfd *polls, int64_t now_ms);
/* A client with a whole command in `line`, now waiting for its answer; NULL: none. */
struct client *control_next(struct control *control);
/* Sends what is in client->answer (again: what was added). */
void control_send(struct client *client);
/* The same, and closes when it is taken. */
void control_finish(struct client *client, int64_t now_ms);
/* When control_turn() wants to be called at the latest; INT64_MAX: only for events. */
int64_t control_due(const struct control *control);
void control_fini(struct control *control);
