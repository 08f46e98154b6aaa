/* The engine on io_uring, for its own files: one ring a worker, entered once a turn. */
#pragma once
#include <liburing.h>

#include "net/engine.h"

struct uring {
    struct net net;
    struct io_uring ring;
    struct io_uring_buf_ring *buffers; /* those of net.lent that the kernel may fill */
    char *scratch;                     /* addresses and message headers of operations not submitted yet */
    uint32_t scratch_used;
    uint32_t held; /* completions that were read and not given back yet, the oldest in the ring: at most HELD_MAX */
    bool features_no_iowait;
};

enum { HELD_MAX = 128, LENT_GROUP = 0 };

/* uring.c
 *
 * An entry for one operation. `scratch` bytes of memory that live until the kernel has read the entry: *ret_scratch. */
struct io_uring_sqe *uring_sqe(struct net *net, uint64_t tag, uint32_t scratch, void **ret_scratch);
void uring_cancel(struct net *net, uint64_t tag);

int uring_open(struct net *net, char *ret_message, uint32_t message_bytes);
int uring_start(struct net *net);
void uring_close(struct net *net);
void uring_refill(struct net *net);
int uring_enter(struct net *net, int wait, int64_t timeout_ms);
void uring_reap(struct net *net);
uint64_t uring_overflows(const struct net *net);

/* uring_explain.c: why there is no ring, and how to get one. `error` > 0. */
void uring_explain(int error, char *ret_message, uint32_t message_bytes);

#include "net/uring.inl.h"
