/* The seam between what all engines share (connections, queues, deadlines, events, lending) and what a kernel interface does: the operations
 * of one engine. Each is asked for at any time; what comes of it is told from reap(), or at once where it says so. Nobody outside this folder
 * includes it. */
#pragma once
#include "net/internal.h"

enum file_kind { FILE_READ, FILE_WRITE, FILE_OPEN };

/* One operation on a file; its end is told by file_done() of `slot` and `generation`. */
struct file_request {
    enum file_kind kind;
    int fd; /* of the folder, for FILE_OPEN */
    uint32_t slot, generation;
    char *buffer;
    uint32_t bytes;
    uint64_t offset;         /* UINT64_MAX: where the descriptor stands */
    const char *path;        /* until the call returns */
    uint64_t flags, resolve; /* openat2(2) */
};

struct engine {
    const char *name;
    size_t bytes;     /* of the engine's state, which begins with its struct net */
    int socket_flags; /* of sockets that are made or accepted here */

    /* 0, or -errno and (mostly) a sentence in ret_message. start() comes once the stores and the lent buffers are there; close() after any
     * of them, also one that failed: nothing of this engine is in the kernel's hands afterwards. */
    int (*open)(struct net *net, char *ret_message, uint32_t message_bytes);
    int (*start)(struct net *net);
    void (*close)(struct net *net);

    /* Hands free lent buffers to whoever fills them. */
    void (*refill)(struct net *net);
    /* Hands over all operations, and sleeps, at most `timeout_ms` (< 0: for ever), until one is complete; `wait` 0: does not. 0 or -errno. */
    int (*enter)(struct net *net, int wait, int64_t timeout_ms);
    /* Tells what is complete. */
    void (*reap)(struct net *net);

    /* conn->receive becomes RECEIVE_ARMED: conn_bytes() for each piece, then receive_over() once. */
    void (*receive)(struct net *net, struct conn *conn);
    /* conn->receive becomes RECEIVE_STOPPING, with receive_over() to come, or RECEIVE_OFF. */
    void (*receive_stop)(struct net *net, struct conn *conn);
    /* Sends of the queue. conn->sending: conn_sent() is to come; else it was told at once, by conn_took() or conn_send_failed(). */
    void (*send)(struct net *net, struct conn *conn);
    /* conn->sending and ->polling: conn_sent() comes when the socket has room. */
    void (*send_room)(struct net *net, struct conn *conn);
    /* conn->connecting: conn_connected() comes, or has come. */
    void (*connect)(struct net *net, struct conn *conn, const struct sockaddr *address, uint32_t address_bytes);
    /* Sending and connecting end soon, or have ended when their flags are off. */
    void (*conn_stop)(struct net *net, struct conn *conn);

    /* listener->armed: listen_accepted() comes, again and again until it says that was all, or accept_stop() leaves `armed` off. */
    void (*accept)(struct net *net, uint32_t listener);
    void (*accept_stop)(struct net *net, uint32_t listener);
    /* watch->armed: the same with watch_ready(). */
    void (*watch)(struct net *net, uint32_t watch);
    void (*watch_stop)(struct net *net, uint32_t watch);
    void (*file)(struct net *net, const struct file_request *request);

    uint64_t (*overflows)(const struct net *net);
};

extern const struct engine engine_uring, engine_epoll;

/* engine.c: as net_new(), with this one. */
struct net *engine_new(const struct engine *engine, const struct net_options *options, char *ret_message, uint32_t message_bytes);
