/* The ring itself: set up with what this kernel offers, entries for operations, one call per turn to enter it, and what completed. */
#include "net/uring.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/fault.h"
#include "base/must.h"

/* Newer than liburing 2.3. */
#ifndef IORING_ENTER_NO_IOWAIT
#define IORING_ENTER_NO_IOWAIT (1U << 7)
#endif
#define FEATURE_NO_IOWAIT (1U << 17)

enum { SQ_ENTRIES = 1024, CQ_ENTRIES = 8192, SCRATCH_BYTES = 1 << 18 };

/* ---- birth and death ---- */

/* Flags from the best set to the least, each tried: distributions back-port, so versions say little. */
static int try_setup(struct io_uring *ring, struct io_uring_params *params)
{
    static const unsigned sets[] = {
        IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CLAMP,
        IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_COOP_TASKRUN | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CLAMP,
    };
    int error = -EINVAL;
    for (unsigned i = 0; i < sizeof sets / sizeof *sets; i++) {
        memset(params, 0, sizeof *params);
        params->flags = sets[i] | IORING_SETUP_CQSIZE;
        params->cq_entries = CQ_ENTRIES;
        error = io_uring_queue_init_params(SQ_ENTRIES, ring, params);
        if (error)
            ring->ring_fd = -1; /* it may have been cleared to 0 */
        if (error != -EINVAL)
            return error;
    }
    return error;
}

int uring_open(struct net *net, char *ret_message, uint32_t message_bytes)
{
    struct uring *uring = uring_of(net);
    struct io_uring_params params;
    uring->ring.ring_fd = -1;
    int error = try_setup(&uring->ring, &params);
    if (error) {
        uring_explain(-error, ret_message, message_bytes);
        return error;
    }
    uring->features_no_iowait = params.features & FEATURE_NO_IOWAIT;
    io_uring_register_ring_fd(&uring->ring); /* only an optimisation: an error changes nothing */
    unsigned limit[2] = { 4, 4 }; /* threads for file work, else bounded only by the process limit */
    io_uring_register_iowq_max_workers(&uring->ring, limit);
    for (unsigned i = 0; i < *uring->ring.sq.kring_entries; i++)
        uring->ring.sq.array[i] = i;
    uring->scratch = malloc(SCRATCH_BYTES);
    if (!uring->scratch) {
        snprintf(ret_message, message_bytes, "not enough memory for the engine");
        return -ENOMEM;
    }
    return 0;
}

/* The kernel sees a short ring of buffers, so that those that are used stay in the cache. */
int uring_start(struct net *net)
{
    struct uring *uring = uring_of(net);
    size_t bytes = net->lent.entries * sizeof(struct io_uring_buf);
    void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (at == MAP_FAILED)
        return -ENOMEM;
    uring->buffers = at;
    struct io_uring_buf_reg reg = { .ring_addr = (uint64_t)(uintptr_t)at, .ring_entries = net->lent.entries, .bgid = LENT_GROUP };
    int error = io_uring_register_buf_ring(&uring->ring, &reg, 0);
    if (!error)
        io_uring_buf_ring_init(uring->buffers);
    return error;
}

/* The kernel gives up what it holds before this returns, or soon after. */
void uring_close(struct net *net)
{
    struct uring *uring = uring_of(net);
    if (uring->ring.ring_fd >= 0)
        io_uring_queue_exit(&uring->ring);
    if (uring->buffers)
        munmap(uring->buffers, net->lent.entries * sizeof(struct io_uring_buf));
    free(uring->scratch);
}

/* ---- entries ---- */

/* Publishes the entries written so far; how many the kernel has not taken. */
static unsigned publish(struct io_uring *ring)
{
    struct io_uring_sq *sq = &ring->sq;
    io_uring_smp_store_release(sq->ktail, sq->sqe_tail);
    sq->sqe_head = sq->sqe_tail;
    return sq->sqe_tail - io_uring_smp_load_acquire(sq->khead);
}

/* Submits everything and waits for `wait` completions, at most `timeout_ms` (< 0: for ever). 0, or -errno other than the ordinary ones.
 *
 * A ring with deferred task work runs no more than 20 completions a call unless more are waited for (Linux 6.13): 200 ready sockets would
 * take ten calls. Waiting for more than there are would sleep until a timeout. So the last completions that were read stay in the ring, where
 * the kernel counts them among those that are here: to wait for 128 of them and one more is to sleep until that one, and to run up to 129
 * when they are due. It costs no call and no timer (t/net/burst_spec.lua). */
static int enter(struct uring *uring, unsigned wait, int64_t timeout_ms)
{
    struct io_uring *ring = &uring->ring;
    struct __kernel_timespec ts = { .tv_sec = timeout_ms / 1000, .tv_nsec = timeout_ms % 1000 * 1000000 };
    struct io_uring_getevents_arg arg = { .ts = timeout_ms < 0 ? 0 : (uint64_t)(uintptr_t)&ts };
    unsigned flags = IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG;
    if (uring->features_no_iowait)
        flags |= IORING_ENTER_NO_IOWAIT;
    if (ring->enter_ring_fd != ring->ring_fd)
        flags |= IORING_ENTER_REGISTERED_RING;
    unsigned left = publish(ring);
    int result = io_uring_enter2((unsigned)ring->enter_ring_fd, left, uring->held + wait, flags, (sigset_t *)&arg, sizeof arg);
    uring->net.facts.enters++;
    if (io_uring_sq_ready(ring) == 0) /* else entries that point there are still to be read */
        uring->scratch_used = 0;
    if (result >= 0 || result == -ETIME || result == -EINTR || result == -EBUSY || result == -EAGAIN)
        return 0;
    return result;
}

/* Makes sure of a free entry and of `bytes` of scratch, by letting the kernel take what there is. */
static void make_room(struct uring *uring, uint32_t bytes)
{
    for (int tries = 0; io_uring_sq_space_left(&uring->ring) == 0 || uring->scratch_used + bytes > SCRATCH_BYTES; tries++) {
        must(tries < 64);
        must(enter(uring, 0, 0) == 0);
    }
}

struct io_uring_sqe *uring_sqe(struct net *net, uint64_t tag, uint32_t scratch, void **ret_scratch)
{
    struct uring *uring = uring_of(net);
    scratch = (scratch + 15) & ~15u;
    make_room(uring, scratch);
    if (scratch) {
        *ret_scratch = uring->scratch + uring->scratch_used;
        uring->scratch_used += scratch;
    }
    struct io_uring_sqe *sqe = io_uring_get_sqe(&uring->ring);
    must(sqe != NULL);
    sqe->user_data = tag; /* io_uring_prep_*() of liburing 2.3 and later leave it alone */
    return sqe;
}

void uring_cancel(struct net *net, uint64_t tag)
{
    struct io_uring_sqe *sqe = uring_sqe(net, op_tag(OP_NONE, 0, 0), 0, NULL);
    io_uring_prep_cancel64(sqe, tag, 0);
    sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
}

/* ---- the turn ---- */

void uring_refill(struct net *net)
{
    struct lent *lent = &net->lent;
    struct io_uring_buf_ring *buffers = uring_of(net)->buffers;
    int added = 0;
    while (lent->ready < lent->target && lent->free > 0) {
        uint16_t buffer = (uint16_t)lent_take(net);
        io_uring_buf_ring_add(buffers, lent_memory(net, buffer), lent->each, buffer, io_uring_buf_ring_mask(lent->entries), added++);
        lent->ready++;
    }
    if (added)
        io_uring_buf_ring_advance(buffers, added);
}

int uring_enter(struct net *net, int wait, int64_t timeout_ms)
{
    struct uring *uring = uring_of(net);
    if (!wait || timeout_ms == 0 || io_uring_cq_ready(&uring->ring) > uring->held)
        return enter(uring, 0, 0);
    return enter(uring, 1, timeout_ms);
}

static void received(struct net *net, uint32_t index, uint32_t generation, int32_t result, uint32_t flags)
{
    struct conn *conn = &net->conns[index];
    must(conn->generation == generation);
    if (flags & IORING_CQE_F_BUFFER) {
        net->lent.ready--;
        if (result > 0)
            conn_bytes(net, conn, flags >> IORING_CQE_BUFFER_SHIFT, (uint32_t)result);
        else
            lent_return(net, flags >> IORING_CQE_BUFFER_SHIFT);
    }
    if (!(flags & IORING_CQE_F_MORE))
        receive_over(net, conn, result);
    else if (fault_hit("receive-end")) /* as when its completion found no room */
        uring_cancel(net, conn_tag(net, conn, OP_RECEIVE));
}

static void complete(struct net *net, const struct io_uring_cqe *cqe)
{
    bool more = cqe->flags & IORING_CQE_F_MORE;
    uint32_t slot = (uint32_t)cqe->user_data;
    uint32_t generation = (uint32_t)(cqe->user_data >> 32) & GENERATION_MASK;
    switch ((enum op)(cqe->user_data >> 56)) {
    case OP_RECEIVE:
        received(net, slot, generation, cqe->res, cqe->flags);
        break;
    case OP_SEND:
        conn_sent(net, slot, generation, cqe->res);
        break;
    case OP_ACCEPT:
        listen_accepted(net, slot, generation, cqe->res, more);
        break;
    case OP_CONNECT:
        conn_connected(net, slot, generation, cqe->res);
        break;
    case OP_FILE:
        file_done(net, slot, generation, cqe->res);
        break;
    case OP_WATCH:
        watch_ready(net, slot, generation, cqe->res, more);
        break;
    case OP_NONE:
        break;
    }
}

/* What was read is given back late, see enter(). */
void uring_reap(struct net *net)
{
    struct uring *uring = uring_of(net);
    struct io_uring_cq *cq = &uring->ring.cq;
    uint32_t from = *cq->khead, at = from + uring->held;
    for (; at != io_uring_smp_load_acquire(cq->ktail); at++)
        complete(net, &cq->cqes[at & *cq->kring_mask]);
    uring->held = at - from < HELD_MAX ? at - from : HELD_MAX;
    io_uring_cq_advance(&uring->ring, at - from - uring->held);
}

uint64_t uring_overflows(const struct net *net)
{
    return *((const struct uring *)net)->ring.cq.koverflow;
}
