/* The engine: operations go down, completions come up as events. One per worker, used by one thread.
 * It moves bytes and keeps time; it does not know what bytes mean. Only this room knows which kernel interface does the work.
 *
 *   for (;;) { net_turn(net, 1); while (net_event_next(net, &event)) …; }
 *
 * net_turn submits everything asked for since the last turn in one system call, sleeps until something is due, and records
 * what completed. Work on events happens afterwards; what that work asks for leaves with the next turn. */
#pragma once
#include "base/slice.h"
#include "net/options.h"

struct net;
struct block;
struct sockaddr;

/* Memory that is sent from where it lies. The engine counts queued pieces of it; its owner leaves it as it is while there are any.
 * `paged`: it is a mapping of its own, never written again and then unmapped: large pieces go out without any copy of them being made. */
struct net_loan {
    uint32_t pieces, paged;
};

/* Output on its way, in blocks that are counted against the engine's bound. Begins all zero. */
struct net_queue {
    struct block *first, *last;
    uint32_t bytes;
};

enum net_role { ROLE_CLIENT, ROLE_UPSTREAM };

enum net_event_kind {
    NET_NONE,
    NET_ACCEPTED,  /* a client connection is open; owner = listener number until conn_own() */
    NET_CONNECTED, /* conn_connect() succeeded */
    NET_BYTES,     /* bytes/count arrived; lent until the next net_event_next() */
    NET_END,       /* the peer will send no more (half-close); sending still works */
    NET_DRAINED,   /* conn_notify_drained(): the output queue has fallen to the mark asked for */
    NET_TIMEOUT,   /* the connection's deadline has passed (conn_deadline) */
    NET_FAILED,    /* result = -errno: connecting, receiving or sending failed; close it */
    NET_CLOSED,    /* result: 0, or -EPIPE when output was dropped; nothing of this connection is in the kernel any more; its number is free after this event */
    NET_TIMER,     /* a timer is due: user, token */
    NET_DONE,      /* net_read/net_write ended: result, user, token */
    NET_READY,     /* a watched descriptor is readable: user */
};

struct net_event {
    uint8_t kind, role;
    uint32_t conn;   /* number of the connection */
    uint32_t owner;  /* what conn_own() or conn_connect() said */
    int32_t result;
    uint32_t count;
    const char *bytes;
    uint32_t user;
    double token;
};

/* NULL on failure, with a sentence for the user (cause and fix) in ret_message. Else it is empty; or says why there is no ring, and how to get
 * it, when it was left to the engine which one to take. */
struct net *net_new(const struct net_options *options, char *ret_message, uint32_t message_bytes);
void net_free(struct net *net);
enum net_engine net_engine(const struct net *net); /* which one it is */
/* By name; ENGINE_AUTO: unknown. */
enum net_engine net_engine_named(const char *name);
const char *net_engine_name(enum net_engine engine);
/* Bounds that hold from now on: connections, buffer_bytes and stall_ms of the options. More connections need net_grow() first. */
void net_adapt(struct net *net, const struct net_options *options);
/* Room for that many connections. 0, or -ENOMEM: nothing has changed. */
int net_grow(struct net *net, uint32_t connections);

/* ---- the turn ---- */
/* Sends what is queued, sleeps (`wait` 0: does not) until the next completion or timer, records events. 0 or -errno. */
int net_turn(struct net *net, int wait);
/* Next recorded event; 0 when there is none. Gives back the buffer that the last one lent. */
int net_event_next(struct net *net, struct net_event *ret_event);
/* Milliseconds of a monotonic clock, read once a turn, and Unix time in seconds (of a clock that moves every few ms). */
double net_now_ms(const struct net *net);
double net_unix_time(const struct net *net);

/* ---- listening ---- */
/* Accepts on a listening socket; `number` comes back in NET_ACCEPTED. The descriptor stays the caller's. */
int net_listen(struct net *net, int fd, uint32_t number);
/* Connections that are accepted already still come. */
void net_listen_stop(struct net *net, uint32_t number);
/* The same for good: what waits in its queue is accepted, then the descriptor, which is the engine's from here on, is closed. */
void net_listen_end(struct net *net, uint32_t number);
/* Takes what waits on all sockets, also when the kernel has told somebody else of it, who is gone. */
void net_listen_look(struct net *net);
int net_is_ending(const struct net *net); /* 1 while net_listen_end() has not come to its end on some socket */

/* ---- connections, by number ---- */
int conn_connect(struct net *net, const struct sockaddr *address, uint32_t address_bytes, uint32_t owner, uint32_t *ret_conn);
void conn_own(struct net *net, uint32_t conn, uint32_t owner);
int conn_fd(const struct net *net, uint32_t conn);
/* Connection numbers are below this, and with so many connections as a bound below that. */
uint32_t net_conn_room(const struct net *net);
uint32_t net_conn_room_for(uint32_t connections);
/* Room for at least `bytes` (≤ 16320) at the tail of the output queue; NULL: the buffer bound is reached, or closing. Then commit what was written. */
char *conn_out(struct net *net, uint32_t conn, uint32_t bytes);
void conn_out_commit(struct net *net, uint32_t conn, uint32_t bytes);
/* Copies `bytes` to the output queue. 0, -ENOBUFS (nothing was queued) or -EPIPE (closing). */
int conn_write(struct net *net, uint32_t conn, const char *bytes, uint32_t count);
/* Queues `count` > 0 bytes that stay where they are. The same errors; only the note of them counts against the engine's bound. */
int conn_lend(struct net *net, uint32_t conn, const char *bytes, uint32_t count, struct net_loan *loan);
/* Puts a whole queue behind what the connection sends (closing: drops it); the queue is empty afterwards. */
void conn_take(struct net *net, uint32_t conn, struct net_queue *queue);
/* The same for output that must wait for its turn. */
char *queue_out(struct net *net, struct net_queue *queue, uint32_t bytes);
void queue_commit(struct net_queue *queue, uint32_t bytes);
int queue_write(struct net *net, struct net_queue *queue, const char *bytes, uint32_t count);
int queue_lend(struct net *net, struct net_queue *queue, const char *bytes, uint32_t count, struct net_loan *loan);
void queue_free(struct net *net, struct net_queue *queue);
/* Bytes queued and not yet taken by the kernel. */
uint32_t conn_queued(const struct net *net, uint32_t conn);
/* Bytes taken by the kernel since the connection began. */
uint64_t conn_sent_total(const struct net *net, uint32_t conn);
/* One NET_DRAINED when conn_queued() ≤ mark (in this turn already when it is so now). */
void conn_notify_drained(struct net *net, uint32_t conn, uint32_t mark);
/* Stops and restarts receiving; bytes that were on their way still come. Receiving begins with the connection. */
void conn_pause(struct net *net, uint32_t conn);
void conn_resume(struct net *net, uint32_t conn);
int conn_is_paused(const struct net *net, uint32_t conn);
/* NET_TIMEOUT `ms` from now unless set again; 0: none. Cheap: call it at every step. */
void conn_deadline(struct net *net, uint32_t conn, uint32_t ms);

enum close_mode {
    CLOSE_NOW,    /* drop what is queued */
    CLOSE_FLUSH,  /* when the queue is sent */
    CLOSE_LINGER, /* when the queue is sent: end our side, then read and discard up to 1 MiB, until the deadline, else 5 s (RFC 9112 §9.6) */
};
/* Marks, cancels, joins: NET_CLOSED comes when the kernel holds nothing. No other event of it follows. May be called again to hurry. */
void conn_close(struct net *net, uint32_t conn, enum close_mode mode);

/* ---- timers ---- */
/* NET_TIMER after `ms`, never early. A handle ≥ 0, or -ENOBUFS. */
int32_t net_timer_start(struct net *net, double ms, uint32_t user, double token);
/* No NET_TIMER of it follows. A handle ends with its NET_TIMER or its stop; after 2048 more timers the number may be another's. */
void net_timer_stop(struct net *net, int32_t timer);

/* ---- files and other descriptors ---- */
/* NET_DONE with the bytes moved or -errno. `buffer` is the kernel's until then. */
int net_read(struct net *net, int fd, char *buffer, uint32_t bytes, uint64_t offset, uint32_t user, double token);
int net_write(struct net *net, int fd, const char *buffer, uint32_t bytes, uint64_t offset, uint32_t user, double token);
/* openat2(2), with a descriptor that is the caller's to close. `path` is copied. */
int net_open(struct net *net, int folder, const char *path, uint64_t flags, uint64_t resolve, uint32_t user, double token);
/* NET_READY each time the descriptor becomes readable. */
int net_watch(struct net *net, int fd, uint32_t user);
void net_unwatch(struct net *net, uint32_t user);

#include "net/facts.h"
#include "net/flow.h"
