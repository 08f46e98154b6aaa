/* The gate's own state, shared by the files of this folder and by the border (abi.c), which forwards to it.
 * Comes in: events of the engine, answers from Lua. Goes out: requests ready for Lua, replies in order.
 *
 * A client connection is parsed up to `limits.pipeline` requests ahead. Each request is a slot; the slots of a connection form a list in
 * order of arrival. The first writes straight to the connection, the others to a queue of their own until it is their turn. */
#pragma once
#include <stdbool.h>

#include "base/arena.h"
#include "base/reserve.h"
#include "gate/border.h"
#include "gate/content.h"
#include "gate/control.h"
#include "gate/log.h"
#include "gate/routes.h"
#include "gate/settings.h"
#include "gate/stats.h"
#include "gate/talk.h"
#include "gate/trust.h"
#include "gate/worker.h"
#include "http/body.h"
#include "http/head.h"
#include "http/render.h"
#include "net/net.h"

enum { NONE = UINT32_MAX, REQUEST_ARENA_FIRST = 448 };

/* Who asked the engine: `user` of timers, file operations and watches. */
enum gate_user {
    USER_LUA, USER_CONTROL, USER_LOG_ACCESS, USER_LOG_ERROR, USER_DRAIN, USER_LINGER, USER_SAY, USER_OVERDUE, USER_FETCH, USER_BUDGET,
    USER_STREAM = 16, USER_CACHE,
    USER_PROXY = 64, /* and those behind it */
};

/*  IDLE ─bytes─▶ HEAD ─head whole─▶ IDLE or CONTENT ─end of content─▶ IDLE
 *                                      └─answered early─▶ UNREAD ─▶ IDLE        any ─▶ LAST: nothing more is read as HTTP */
enum client_phase { CLIENT_IDLE, CLIENT_HEAD, CLIENT_CONTENT, CLIENT_UNREAD, CLIENT_LAST, CLIENT_TUNNEL /* all bytes are an upstream's */ };

/* Input that could not be used up in the turn it came. */
struct kept {
    uint32_t begin, end, room; /* 64 readable bytes follow `room` */
    char bytes[];
};

/* A client connection, in an array beside the engine's (same number). */
struct client {
    struct kept *kept;
    uint32_t first, last;   /* requests in order; NONE */
    uint32_t next_ready;    /* in the list of those with input to go on with, or that of those without a slot */
    uint32_t seen;          /* bytes of a partial head that hold no end of it */
    uint32_t parsed_at;     /* length at which the partial head was last parsed in vain */
    uint32_t held;          /* answered requests whose last byte somebody waits for: list of slots */
    uint32_t unread;        /* the answered request whose content is being dropped: slot, or NONE */
    uint32_t behind;        /* bytes of answers whose turn has not come */
    uint16_t running;       /* requests in the list */
    uint8_t phase;          /* enum client_phase */
    struct peer peer;
    bool ready : 1, open : 1, ended : 1, full : 1, linger : 1, clogged : 1; /* clogged: full, because its answers wait */
};

enum request_state { REQUEST_FREE, REQUEST_RUNNING, REQUEST_STREAMING, REQUEST_ENDED };

struct request {
    struct mg_request pub; /* first: Lua's view */
    struct routes *routes; /* that it was matched with; counted there while the slot is taken */
    uint8_t state;         /* enum request_state */
    uint8_t framing;       /* of the answer: enum http_framing */
    bool close : 1;        /* the connection ends after this answer */
    bool head_only : 1;    /* no content is sent, whatever is written */
    bool parked : 1;       /* bytes are in the arena */
    bool listed : 1;       /* in its connection's list */
    bool hold : 1;         /* Lua wants the slot after the answer */
    bool told : 1;         /* its end has been told to whoever holds it */
    bool fed : 1, choked : 1; /* all of the content went to the upstream; it has enough for now */
    bool paused : 1;       /* the upstream, or the file, waits for the client: until `pause_mark` bytes are left */
    bool expect : 1;       /* 100 (Continue) is still owed */
    bool waiting : 1;      /* content was asked for that had not come */
    bool unread : 1;       /* the slot is kept for dropping its content */
    uint32_t next;         /* in the connection's list, or in the free list */
    struct arena arena;
    struct net_queue out;  /* until it is this request's turn */
    struct http_out_field *fields, **fields_end;
    struct slice reason, trailers; /* trailers: lines that go behind chunks */
    bool own_date, own_server, own_type, drops; /* drops: some of the fields only keep an upstream's out */
    double length_left;    /* of an answer with FRAMING_LENGTH */
    struct http_body body;
    double body_limit;
    double body_since_ms;  /* the client is waited for since then; 0: it is not */
    double body_waited_ms; /* before that, in sum */
    uint32_t body_used;    /* bytes of kept input lent to Lua by the last read */
    int32_t entry;         /* the route number that Lua got it with; match.route moves on among those of one path */
    int32_t body_error;
    double cut_ms;         /* limits.request_time was over then; 0: it is not */
    double body_token, drain_token, gone_token, hold_token;
    uint32_t drain_mark, pause_mark;
    uint64_t sent_mark;    /* the connection's byte count at the end of this answer */
    struct peer peer;      /* of a connection that is gone */
    double bytes_out;      /* of the answer, its head included */
    uint32_t head_bytes_out;
    uint32_t exchange, stream; /* proxied, or a file that is being read: NONE when not */
    const struct wanted *wanted; /* NULL: nothing */
    uint32_t fetch, first_fetch; /* that Lua holds its exchange by: NONE when C answers it; list of those that are open for it (fetch.h) */
    uint16_t own_status;       /* instead of the upstream's; 0: none */
    struct file_job *file;     /* waited for, or sent in pieces: NULL when not */
    _Alignas(16) char first_page[REQUEST_ARENA_FIRST];
};

struct wake {
    double token;
    int32_t result, event;
    uint32_t slot;
    bool own;         /* text is freed when the next event is told */
    const char *text;
};

/* The bytes that requests are being parsed from. */
struct input {
    uint32_t conn;      /* NONE: nothing */
    bool from_kept;
    const char *bytes;
    uint32_t at, count;
};

struct mg_worker {
    struct mg_border border;
    struct mg_settings settings;
    struct mg_stats *stats;
    struct proxy_shared *shared;
    const char *changes; /* made before it was born: worker.h */
    const char *all_stats; /* of all workers: worker.h */
    uint32_t stats_each, stats_count, entry;
    struct net *net;
    struct routes *routes; /* that new requests are matched with */
    const uint32_t *closed;
    uint32_t closed_count;
    const struct routes *beating; /* that the heartbeat's name is of (heart.c) */
    struct http_common common;
    struct http_scan scan;
    struct http_head_limits limits;
    struct input in;

    struct reserve client_store, request_store;
    struct client *clients;
    uint32_t client_room, client_count, connections_most;
    struct conn_list {
        uint32_t first, last;
    } ready, hungry; /* hungry: no request slot was free */
    struct request *requests;
    uint32_t request_room, request_top, request_free, request_running;
    uint32_t request_most; /* running at once; the room is never less */
    struct arena_store pages;
    uint64_t kept_bytes;

    struct wake *wakes;
    uint32_t wake_first, wake_count, wake_room;
    char *told; /* text of the last event, when it is the worker's to free */

    struct trust trust;
    struct log_sink access, errors;
    struct talk talk;
    uint32_t generation; /* that is served, or being started with */
    bool is_looking /* overdue.c */, draining, patient, stopping, waited, ended, drained_told;
    int exit_code, access_json, log_level;
    struct side *side; /* proxy and file rooms and the requests they answer */
};

/* client.c: connections */
void client_event(struct mg_worker *w, const struct net_event *event);
bool client_next_ready(struct mg_worker *w); /* makes the next waiting input current */
void client_make_ready(struct mg_worker *w, uint32_t conn);
void client_make_hungry(struct mg_worker *w, uint32_t conn); /* ready when a request slot is free */
void client_settle(struct mg_worker *w, uint32_t conn); /* idle, last, full, drained: what follows from the phase */
void client_answered(struct mg_worker *w, struct request *r); /* r has ended: move on what follows it */
void client_drain_all(struct mg_worker *w);
void client_update_drain(struct mg_worker *w, uint32_t conn);
void client_lost(struct mg_worker *w, uint32_t conn);
/* kept.c: input for later. -ENOBUFS: limits.buffers is reached. */
int kept_append(struct mg_worker *w, struct kept **kept, const char *bytes, uint32_t count);
void kept_drop(struct mg_worker *w, struct kept **kept);
/* parse.c: requests out of their input */
int32_t client_parse(struct mg_worker *w);                    /* next request of the current input: slot, or -1 */
void client_parse_kept(struct mg_worker *w, uint32_t conn);   /* makes kept input current */
void client_let_on(struct mg_worker *w, uint32_t conn);       /* enough of its answers was taken: its next requests may run */
void client_refuse(struct mg_worker *w, struct client *client, struct request *r, int32_t status, const char *reason);

/* request.c: slots */
struct request *request_new(struct mg_worker *w, uint32_t conn); /* NULL: all in use */
void request_list(struct mg_worker *w, struct request *r);
void request_put(struct mg_worker *w, struct request *r);        /* frees the slot when nobody needs it */
struct request *request_at(struct mg_worker *w, uint32_t slot);  /* NULL: not a running request */
int request_hold(struct mg_worker *w, struct request *r, double token);
void request_told(struct mg_worker *w, struct request *r, int32_t sent);
int request_park(struct mg_worker *w, struct request *r); /* -ENOBUFS: what was lent is lost after this turn */
void request_keep(struct mg_worker *w, struct request *r); /* the same; without memory it goes on without its head */
void request_route(struct request *r, uint32_t skip);
int request_place(struct request *r, const char **ret_reason); /* 0, or a negated status to refuse it with */

/* reply.c: answers */
int reply_whole(struct mg_worker *w, struct request *r, uint32_t status, uint32_t content, const char *body, uint32_t bytes);
/* `length` -1: unknown; LENGTH_UNSAID: there is no content and nothing is said of its length (a HEAD or 304 passed on). */
enum { LENGTH_UNKNOWN = -1, LENGTH_UNSAID = -2 };
int reply_begin(struct mg_worker *w, struct request *r, uint32_t status, uint32_t content, double length);
int reply_write(struct mg_worker *w, struct request *r, const char *bytes, uint32_t count);
int reply_end(struct mg_worker *w, struct request *r, bool abort);
int reply_wait(struct mg_worker *w, struct request *r, uint32_t mark, double token);
uint32_t reply_waiting(const struct mg_worker *w, const struct request *r);
int reply_field(struct request *r, struct slice name, struct slice value, enum mg_field_mode mode);
const struct http_out_field *reply_field_find(const struct request *r, struct slice name, uint32_t index);
void reply_fields_clear(struct request *r);
void reply_refuse(struct mg_worker *w, struct request *r, uint32_t status, const char *reason);

/* access.c */
/* Where its client is, or was, by what a trusted peer says of it. The length written, as peer_text(). */
int request_remote(const struct mg_worker *w, const struct request *r, bool port, char *ret, uint32_t bytes);
void access_line(struct mg_worker *w, const struct request *r);

/* side.c: proxy and file */
struct side *side_new(struct mg_worker *w);
void side_stop(struct side *side); /* before the engine is freed */
void side_free(struct mg_worker *w, struct side *side); /* after */
void side_net_event(struct mg_worker *w, const struct net_event *event);
void side_adapt(struct mg_worker *w); /* its bounds, as the settings are now */
bool side_step(struct mg_worker *w); /* moves on what the side rooms have ready; true: there was something */
void side_content_arrived(struct mg_worker *w, struct request *r);
void side_drained(struct mg_worker *w, struct request *r);
bool side_abandon(struct mg_worker *w, struct request *r);
void side_answered(struct mg_worker *w, struct request *r); /* what was open for it is closed */
int side_folder_open(struct mg_worker *w, struct slice folder, struct slice options);
void side_folder_close(struct mg_worker *w, int folder);
int side_upstream_open(struct mg_worker *w, struct slice name, struct slice servers);
void side_upstream_close(struct mg_worker *w, int upstream);
struct proxy *side_proxy(const struct mg_worker *w);
int side_upstream_change(struct mg_worker *w, struct slice line, bool blindly);
int side_upstream_server(struct mg_worker *w, int upstream, uint32_t at, const struct request *r, struct slice *ret_label, int32_t *ret_aside);
int side_reply_file(struct mg_worker *w, struct request *r, int folder, struct slice path, uint16_t status, struct slice content_type);
int side_reply_folder(struct mg_worker *w, struct request *r, int folder);
/* `content`: what Lua has read of it, all; at NULL: nothing. */
int side_reply_proxy(struct mg_worker *w, struct request *r, int upstream, int terms, struct slice target, struct slice content);
int side_terms_open(struct mg_worker *w, struct slice lines);
void side_terms_close(struct mg_worker *w, int terms);
int side_want(struct request *r, struct slice server, struct slice key, struct slice edits); /* 0, -EINVAL, -ENOBUFS */

#include "gate/gate.inl.h"
