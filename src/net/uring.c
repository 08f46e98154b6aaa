/* The ring itself: set up with what this kernel offers, one call per turn to enter it, and a message that helps when it is refused. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/utsname.h>

#include "base/must.h"
#include "net/internal.h"

/* Newer than liburing 2.3. */
#ifndef IORING_ENTER_NO_IOWAIT
#define IORING_ENTER_NO_IOWAIT (1U << 7)
#endif
#define FEATURE_NO_IOWAIT (1U << 17)

enum { SQ_ENTRIES = 1024, CQ_ENTRIES = 8192, SCRATCH_BYTES = 1 << 18 };

static int read_number(const char *path)
{
    FILE *f = fopen(path, "re");
    int value = -1;
    if (!f)
        return -1;
    if (fscanf(f, "%d", &value) != 1)
        value = -1;
    fclose(f);
    return value;
}

/* The three ways in which a machine says no, each with its cure. */
static void explain(int error, char *message, uint32_t bytes)
{
    int disabled = read_number("/proc/sys/kernel/io_uring_disabled");
    struct utsname machine;
    uname(&machine);
    if ((error == EPERM || error == EACCES) && disabled > 0)
        snprintf(message, bytes,
                 "io_uring is switched off on this machine (kernel.io_uring_disabled = %d); "
                 "switch it on with: sysctl -w kernel.io_uring_disabled=0",
                 disabled);
    else if (error == EPERM || error == EACCES)
        snprintf(message, bytes,
                 "io_uring is refused to this process, most likely by a container's seccomp profile; run the container with a "
                 "profile that allows io_uring_setup, io_uring_enter and io_uring_register, or with: --security-opt seccomp=unconfined");
    else if (error == ENOSYS)
        snprintf(message, bytes,
                 "io_uring is not there: this kernel (%s) was built without it or is older than 6.1, or a seccomp profile hides it; "
                 "use a kernel from 6.1 on, or allow io_uring_setup, io_uring_enter and io_uring_register",
                 machine.release);
    else if (error == ENOMEM)
        snprintf(message, bytes,
                 "io_uring: not enough memory for the ring; raise the memory limit of the container, or the locked-memory limit with: ulimit -l unlimited");
    else if (error == EINVAL)
        snprintf(message, bytes, "io_uring of this kernel (%s) lacks what Moongate needs; use a kernel from 6.1 on", machine.release);
    else
        snprintf(message, bytes, "io_uring: %s", strerror(error));
}

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
    struct io_uring_params params;
    int error = try_setup(&net->ring, &params);
    if (error) {
        explain(-error, ret_message, message_bytes);
        return error;
    }
    net->features_no_iowait = params.features & FEATURE_NO_IOWAIT;
    io_uring_register_ring_fd(&net->ring); /* only an optimisation: an error changes nothing */
    unsigned limit[2] = { 4, 4 }; /* threads for file work, else bounded only by the process limit */
    io_uring_register_iowq_max_workers(&net->ring, limit);
    for (unsigned i = 0; i < *net->ring.sq.kring_entries; i++)
        net->ring.sq.array[i] = i;
    net->scratch = malloc(SCRATCH_BYTES);
    if (!net->scratch) {
        snprintf(ret_message, message_bytes, "not enough memory for the engine");
        return -ENOMEM;
    }
    return 0;
}

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
int uring_enter(struct net *net, unsigned wait, int64_t timeout_ms)
{
    struct io_uring *ring = &net->ring;
    struct __kernel_timespec ts = { .tv_sec = timeout_ms / 1000, .tv_nsec = timeout_ms % 1000 * 1000000 };
    struct io_uring_getevents_arg arg = { .ts = timeout_ms < 0 ? 0 : (uint64_t)(uintptr_t)&ts };
    unsigned flags = IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG;
    if (net->features_no_iowait)
        flags |= IORING_ENTER_NO_IOWAIT;
    if (ring->enter_ring_fd != ring->ring_fd)
        flags |= IORING_ENTER_REGISTERED_RING;
    unsigned left = publish(ring);
    int result = io_uring_enter2((unsigned)ring->enter_ring_fd, left, net->held + wait, flags, (sigset_t *)&arg, sizeof arg);
    net->facts.enters++;
    if (io_uring_sq_ready(ring) == 0) /* else entries that point there are still to be read */
        net->scratch_used = 0;
    if (result >= 0 || result == -ETIME || result == -EINTR || result == -EBUSY || result == -EAGAIN)
        return 0;
    return result;
}

/* Makes sure of a free entry and of `bytes` of scratch, by letting the kernel take what there is. */
static void make_room(struct net *net, uint32_t bytes)
{
    for (int tries = 0; io_uring_sq_space_left(&net->ring) == 0 || net->scratch_used + bytes > SCRATCH_BYTES; tries++) {
        must(tries < 64);
        must(uring_enter(net, 0, 0) == 0);
    }
}

/* An entry for one operation. `scratch` bytes of memory that live until the kernel has read the entry: *ret_scratch. */
struct io_uring_sqe *uring_sqe(struct net *net, uint64_t tag, uint32_t scratch, void **ret_scratch)
{
    scratch = (scratch + 15) & ~15u;
    make_room(net, scratch);
    if (scratch) {
        *ret_scratch = net->scratch + net->scratch_used;
        net->scratch_used += scratch;
    }
    struct io_uring_sqe *sqe = io_uring_get_sqe(&net->ring);
    must(sqe != NULL);
    sqe->user_data = tag; /* io_uring_prep_*() of liburing 2.3 and later leave it alone */
    return sqe;
}

void uring_cancel(struct net *net, uint64_t tag)
{
    struct io_uring_sqe *sqe = uring_sqe(net, uring_tag(OP_NONE, 0, 0), 0, NULL);
    io_uring_prep_cancel64(sqe, tag, 0);
    sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
}
