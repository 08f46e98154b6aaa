/* What the files of net share, whichever engine runs: connections, queues, timers, events. Nobody outside this folder includes it.
 *
 * The tag of an operation in the kernel: [63:56] enum op | [55:32] generation of the slot | [31:0] slot */
#pragma once
#include <stdbool.h>
#include <stddef.h>

#include "base/reserve.h"
#include "base/wheel.h"
#include "net/net.h"

enum op { OP_NONE, OP_ACCEPT, OP_RECEIVE, OP_SEND, OP_CONNECT, OP_FILE, OP_WATCH };

enum { GENERATION_MASK = 0xffffff, WATCHES_MAX = 64, NOBODY = UINT32_MAX };

/*   FREE ──accept──▶ OPEN ──close(flush)──▶ FLUSHING ──sent──▶ CLOSING ──joined──▶ CLOSED ──told──▶ FREE
 *    └──connect──▶ CONNECTING ─▶ OPEN        └──close(linger)──▶ … ─▶ LINGERING ─▶ CLOSING            */
enum conn_state { CONN_FREE, CONN_CONNECTING, CONN_OPEN, CONN_FLUSHING, CONN_LINGERING, CONN_CLOSING, CONN_CLOSED };

enum receive_state {
    RECEIVE_OFF,      /* nothing asked of the kernel */
    RECEIVE_ARMED,
    RECEIVE_STOPPING, /* cancelled; its last completion is still to come */
    RECEIVE_STARVED,  /* there was no buffer: in the list of those who want one */
    RECEIVE_ENDED,    /* the peer has ended its side, or failed */
};

/* A piece of output. Bytes begin..end are queued; those that the kernel holds are at the front. */
struct block {
    struct block *next;
    const char *from;      /* what begin and end count from: `bytes`, or memory that is lent */
    struct net_loan *loan; /* NULL: the bytes are its own */
    uint32_t begin, end, room;
    uint32_t class;
    char bytes[];
};

struct conn {
    struct wheel_node timer;
    uint64_t deadline;    /* tick; 0: none. The node may stand earlier: it is put back when it fires */
    struct net_queue out; /* queued and not taken by the kernel */
    uint64_t sent;        /* taken by the kernel, in all */
    uint64_t send_since;  /* tick of the last progress in sending */
    uint32_t drain_mark;  /* NOBODY: nobody asked */
    uint32_t generation;
    uint32_t owner;
    uint32_t next;        /* in the free list, or in the list of the starved */
    uint32_t dirty_next;  /* in the list of those with something to send */
    uint32_t discarded;   /* bytes thrown away while lingering */
    int fd;
    int unacked;          /* bytes that the kernel held of what it took, at the last check for a stall */
    uint8_t state, role, receive;
    bool wanted : 1;      /* the upper room wants bytes */
    bool sending : 1, polling : 1, dirty : 1, connecting : 1, linger : 1, ends : 1; /* polling: what is sending only waits for room */
    bool asked : 1, listed : 1, readable : 1, to_end : 1;                 /* epoll_conn.c */
    uint32_t ready_next;                                                  /* there, while listed */
};

struct record {
    struct net_event event;
    uint32_t generation;
    int32_t buffer; /* lent buffer that holds `bytes`, -1: none */
};

struct timer {
    struct wheel_node node;
    double token;
    uint32_t user, generation, next;
};

struct file_op {
    double token;
    uint32_t user, generation, next;
    bool busy;
};

struct listener {
    int fd;
    uint32_t number, generation;
    bool wanted, armed;
    bool ending; /* its descriptor is closed when the kernel accepts no more */
};

struct watch {
    int fd, own_fd; /* own_fd: epoll.c */
    uint32_t user, generation;
    bool wanted, armed;
};

enum { BLOCK_CLASSES = 4, BLOCK_LENT = 0 /* no room: it only points */ };

/* The buffers that bytes arrive in. Those that the engine may fill now are `ready`, topped up with the most recently freed of a larger pool. */
struct lent {
    char *memory;
    uint16_t *stack; /* free buffers, last in first out */
    uint32_t entries, each, free, target, ready, quiet;
};

struct engine;
struct iovec;

struct net {
    const struct engine *engine;
    struct wheel wheel;
    struct net_options options;
    struct lent lent;

    struct reserve conn_store;
    struct conn *conns;
    uint32_t conn_room, conn_top, conn_free, conn_count;
    uint32_t dirty_first, dirty_last;
    uint32_t starved_first, starved_last;
    bool accept_paused;

    struct block *blocks_free[BLOCK_CLASSES];
    uint32_t blocks_kept[BLOCK_CLASSES];
    uint64_t block_bytes;

    struct record *records;
    uint32_t record_room, record_first, record_count;
    int32_t lent_now; /* buffer of the event handed out last, -1: none */

    struct timer *timers;
    uint32_t timer_room, timer_top, timer_free, timer_count;

    struct file_op *files;
    uint32_t file_room, file_top, file_free, file_count;

    struct listener *listeners;
    uint32_t listener_room;
    struct watch watches[WATCHES_MAX];
    int spare_fd, pipe[2], nowhere; /* listen.c; direct.c */
    uint64_t accept_again; /* tick at which refused accepting is tried again; 0: no */

    uint64_t tick;
    double now_ms;
    struct net_facts facts;
};

/* buffers.c */
int lent_init(struct net *net);
void lent_fini(struct net *net);
/* Once a turn: whether somebody found none says how many the engine should have at hand. */
void lent_aim(struct net *net, bool found_none);
/* The first blocks, not more than `most`: how many. */
uint32_t queue_gather(const struct net_queue *queue, struct iovec *ret_pieces, uint32_t most);
void queue_take_out(struct net *net, struct net_queue *queue, uint32_t bytes); /* the first `bytes` are sent */
void blocks_free(struct net *net);

/* engine.c */
void net_record(struct net *net, const struct net_event *event, uint32_t generation, int32_t buffer);

/* conn.c */
uint32_t conn_new(struct net *net, int fd, enum conn_state first, enum net_role role, uint32_t owner);
void conn_sent(struct net *net, uint32_t index, uint32_t generation, int32_t result);
void conn_connected(struct net *net, uint32_t index, uint32_t generation, int32_t result);
void conn_half_close(struct conn *conn); /* flow.c: conn_end() was called, and all is sent */
void conn_timer_fired(struct net *net, struct conn *conn);
void conn_flush_dirty(struct net *net);
void conn_release(struct net *net, uint32_t index);
void conn_tell(struct net *net, struct conn *conn, enum net_event_kind kind, int32_t result);
void conn_try_join(struct net *net, struct conn *conn);
void conn_close_now(struct net *net, struct conn *conn);

/* receive.c */
void receive_stop(struct net *net, struct conn *conn);
void receive_unstarve(struct net *net, struct conn *conn);
void conn_bytes(struct net *net, struct conn *conn, uint32_t buffer, uint32_t count);
void receive_over(struct net *net, struct conn *conn, int32_t result);
void conn_feed_starved(struct net *net);

/* listen.c */
void listen_accepted(struct net *net, uint32_t index, uint32_t generation, int32_t result, bool more);
void listen_update(struct net *net);
void watch_ready(struct net *net, uint32_t index, uint32_t generation, int32_t result, bool more);

/* files.c */
void file_done(struct net *net, uint32_t index, uint32_t generation, int32_t result);

#include "net/internal.inl.h"
