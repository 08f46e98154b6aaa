/* Each feature of the ring is used once, as the engine uses it. */
#include "net/probe.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "net/uring.h"

#define FEATURE_NO_IOWAIT (1U << 17) /* newer than liburing 2.3 */

enum { ENTRIES = 8, BUFFERS = 2, BUFFER_BYTES = 64, GROUP = 1, WAIT_SECONDS = 2 };

/* The next completion; -ETIME: none came. */
static int complete(struct io_uring *ring, unsigned *ret_flags)
{
    struct __kernel_timespec limit = { .tv_sec = WAIT_SECONDS };
    struct io_uring_cqe *cqe;
    io_uring_submit(ring);
    int error = io_uring_wait_cqe_timeout(ring, &cqe, &limit);
    if (error)
        return error;
    int result = cqe->res;
    *ret_flags = cqe->flags;
    io_uring_cqe_seen(ring, cqe);
    return result;
}

static int open_ring(struct io_uring *ring, unsigned flags, unsigned *ret_features)
{
    struct io_uring_params params = { .flags = flags };
    int error = io_uring_queue_init_params(ENTRIES, ring, &params);
    if (!error && ret_features)
        *ret_features = params.features;
    return error;
}

/* A ring made with these flags can be made. */
static int try_flags(unsigned flags)
{
    struct io_uring ring;
    int error = open_ring(&ring, flags, NULL);
    if (!error)
        io_uring_queue_exit(&ring);
    return error;
}

/* Ends what a multishot operation left in the ring. */
static void cancel(struct io_uring *ring)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(ring);
    unsigned flags;
    if (!sqe)
        return;
    io_uring_prep_cancel64(sqe, 0, IORING_ASYNC_CANCEL_ANY);
    for (int turns = 0; turns < ENTRIES && complete(ring, &flags) != -ETIME && io_uring_cq_ready(ring); turns++)
        ;
}

/* A result that a multishot operation gave: it works when it goes on. */
static int judged(int result, unsigned flags)
{
    if (result < 0)
        return result;
    return flags & IORING_CQE_F_MORE ? 0 : -EINVAL;
}

static int try_accept(struct io_uring *ring)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX }; /* the kernel names it */
    socklen_t bytes = sizeof(sa_family_t), room = sizeof address;
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int result = -errno;
    unsigned flags = 0;
    if (listener >= 0 && client >= 0 && bind(listener, (struct sockaddr *)&address, bytes) == 0 && listen(listener, 1) == 0
        && getsockname(listener, (struct sockaddr *)&address, &room) == 0 && connect(client, (struct sockaddr *)&address, room) == 0) {
        io_uring_prep_multishot_accept(io_uring_get_sqe(ring), listener, NULL, NULL, SOCK_CLOEXEC);
        result = complete(ring, &flags);
        if (result >= 0)
            close(result);
        result = judged(result, flags);
        cancel(ring);
    }
    if (listener >= 0)
        close(listener);
    if (client >= 0)
        close(client);
    return result;
}

/* Receives again and again into buffers that the kernel picks. `memory` holds the ring of buffers and the buffers. */
static int receive(struct io_uring *ring, char *memory)
{
    int ends[2];
    unsigned flags = 0;
    struct io_uring_buf_ring *buffers = (struct io_uring_buf_ring *)memory;
    io_uring_buf_ring_init(buffers);
    for (unsigned i = 0; i < BUFFERS; i++)
        io_uring_buf_ring_add(buffers, memory + 2048 + i * BUFFER_BYTES, BUFFER_BYTES, (unsigned short)i, BUFFERS - 1, (int)i);
    io_uring_buf_ring_advance(buffers, BUFFERS);
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
        return -errno;
    struct io_uring_sqe *sqe = io_uring_get_sqe(ring);
    io_uring_prep_recv_multishot(sqe, ends[0], NULL, 0, 0);
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = GROUP;
    int result = write(ends[1], "x", 1) == 1 ? complete(ring, &flags) : -errno;
    result = judged(result, flags);
    cancel(ring);
    close(ends[0]);
    close(ends[1]);
    return result;
}

/* ret_receive: the result of receiving into them. */
static int try_buffers(struct io_uring *ring, int *ret_receive)
{
    char *memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return -ENOMEM;
    struct io_uring_buf_reg reg = { .ring_addr = (uint64_t)(uintptr_t)memory, .ring_entries = BUFFERS, .bgid = GROUP };
    int error = io_uring_register_buf_ring(ring, &reg, 0);
    if (!error) {
        *ret_receive = receive(ring, memory);
        io_uring_unregister_buf_ring(ring, GROUP);
    }
    munmap(memory, 4096);
    return error;
}

static int try_poll(struct io_uring *ring)
{
    int ends[2];
    unsigned flags = 0;
    if (pipe2(ends, O_CLOEXEC) < 0)
        return -errno;
    io_uring_prep_poll_multishot(io_uring_get_sqe(ring), ends[0], POLLIN);
    int result = write(ends[1], "x", 1) == 1 ? complete(ring, &flags) : -errno;
    result = judged(result, flags);
    cancel(ring);
    close(ends[0]);
    close(ends[1]);
    return result;
}

static int try_open(struct io_uring *ring)
{
    struct open_how how = { .flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC };
    unsigned flags;
    io_uring_prep_openat2(io_uring_get_sqe(ring), AT_FDCWD, "/", &how);
    int result = complete(ring, &flags);
    if (result < 0)
        return result;
    close(result);
    return 0;
}

static int try_registered(struct io_uring *ring)
{
    int result = io_uring_register_ring_fd(ring);
    return result < 0 ? result : 0;
}

static int try_limit(struct io_uring *ring)
{
    unsigned limit[2] = { 4, 4 };
    return io_uring_register_iowq_max_workers(ring, limit);
}

int net_probe(struct probe_item ret_items[PROBE_ITEMS_MAX], char *ret_message, uint32_t message_bytes)
{
    struct net_options small = { .connections = 8, .buffer_bytes = 65536, .engine = ENGINE_IO_URING };
    struct net *net = net_new(&small, ret_message, message_bytes); /* as a worker does */
    if (!net)
        return -1;
    net_free(net);
    struct io_uring ring;
    unsigned features = 0;
    int error = open_ring(&ring, 0, &features), receives = -ENOSYS;
    if (error) {
        snprintf(ret_message, message_bytes, "io_uring: %s", strerror(-error));
        return -1;
    }
    int buffers = try_buffers(&ring, &receives);
    struct probe_item items[] = {
        { "buffer ring", "an idle connection holds no buffer", buffers, 1 },
        { "multishot receive", "one operation for the life of a connection", receives, 1 },
        { "multishot accept", "one operation for the life of a listener", try_accept(&ring), 1 },
        { "multishot poll", "changed files and the master are heard", try_poll(&ring), 1 },
        { "openat2", "files are opened without waiting, and inside their folder", try_open(&ring), 1 },
        { "deferred task work", "completions run when the loop asks for them", try_flags(IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN), 0 },
        { "registered ring", "entering the ring costs less", try_registered(&ring), 0 },
        { "bounded file threads", "slow disks take no more than four threads a worker", try_limit(&ring), 0 },
        { "wait without iowait", "an idle worker does not look busy to the CPU governor", features & FEATURE_NO_IOWAIT ? 0 : -EOPNOTSUPP, 0 },
    };
    uint32_t count = sizeof items / sizeof *items;
    memcpy(ret_items, items, sizeof items);
    io_uring_queue_exit(&ring);
    return (int)count;
}
