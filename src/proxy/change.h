/* What somebody says of servers while the gateway runs. Comes in: lines "VERB UPSTREAM SERVER [options]", such as "drain api 10.0.0.1:80" or
 * "add api 10.0.0.2:80 weight=2". Goes out: what of all that still stands, for each server, as lines again. Pure; the master keeps one
 * list for the instance and each worker its own.
 *
 *   add, remove    the server takes part, or not, whatever the config says
 *   drain          it gets no new requests but those that ask for it (sticky sessions); down: none at all; up: ends both
 *   weight         another one than the config says */
#pragma once
#include "proxy/spec.h"

enum { CHANGE_NAME_BYTES = 272, CHANGES_MAX = 1024, CHANGE_LINE_BYTES = 640 };

enum change_verb { CHANGE_ADD, CHANGE_REMOVE, CHANGE_DRAIN, CHANGE_DOWN, CHANGE_UP, CHANGE_WEIGHT };

/* What is said of a server's use. */
enum server_order { ORDER_NONE, ORDER_DOWN, ORDER_DRAIN };

struct change {
    char upstream[CHANGE_NAME_BYTES + 1];
    struct spec_server server; /* its text; for ADD all of it, for WEIGHT the weight */
    uint8_t verb;              /* enum change_verb */
};

/* What stands of the changes of one server. */
struct standing {
    char upstream[CHANGE_NAME_BYTES + 1];
    struct spec_server server; /* as it was added, or its text and weight alone */
    uint8_t added, removed;
    uint8_t order;             /* enum server_order */
    uint16_t weight;           /* 0: as the config says */
};

struct standings {
    struct standing *list; /* owned */
    uint32_t count, room;
};

/* 0, or -EINVAL with a sentence. */
int change_read(struct change *ret_change, struct slice line, char *ret_message, uint32_t message_bytes);
/* 0, -ENOSPC (CHANGES_MAX servers are changed already) or -ENOMEM. */
int standings_merge(struct standings *standings, const struct change *change);
/* The lines that say what stands of one server, into `room` bytes: their length. Four lines of CHANGE_LINE_BYTES always fit. */
uint32_t standing_lines(const struct standing *standing, char *out, uint32_t room);
void standings_fini(struct standings *standings);
