/* What the two floors share: one ring, one listening socket, buffers lent to the kernel. In: numbers; out: a loop that runs for ever.
 * Errors end the program: a floor that limps is no yardstick. */
#pragma once
#include <arpa/inet.h>
#include <errno.h>
#include <liburing.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

enum { BUFFERS = 1024, BUFFER_BYTES = 8192, SQ_ENTRIES = 2048, CQ_ENTRIES = 8192 };
enum op { OP_ACCEPT = 1, OP_RECEIVE, OP_SEND, OP_CLOSE };

static struct io_uring ring;
static struct io_uring_buf_ring *lent;
static char *memory;

static inline void must_work(const char *what, int result)
{
    if (result >= 0)
        return;
    fprintf(stderr, "%s: %s\n", what, strerror(-result));
    exit(1);
}

static inline struct sockaddr_in loopback(const char *port)
{
    return (struct sockaddr_in){ .sin_family = AF_INET,
                                 .sin_port = htons((uint16_t)atoi(port)),
                                 .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
}

static inline int listen_on(const char *port)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    struct sockaddr_in at = loopback(port);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (bind(fd, (struct sockaddr *)&at, sizeof(at)) != 0 || listen(fd, 4096) != 0) {
        perror("listen");
        exit(1);
    }
    return fd;
}

/* The next submission entry; a full queue is handed to the kernel first. */
static inline struct io_uring_sqe *entry(void)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);
    if (sqe)
        return sqe;
    io_uring_submit(&ring);
    return io_uring_get_sqe(&ring);
}

/* Places buffer `id` in the ring, `offset` places after its tail; advance_lent() makes it the kernel's. */
static inline void lend(unsigned id, int offset)
{
    io_uring_buf_ring_add(lent, memory + (size_t)id * BUFFER_BYTES, BUFFER_BYTES, (unsigned short)id, BUFFERS - 1, offset);
}

static inline void lend_again(unsigned id)
{
    lend(id, 0);
    io_uring_buf_ring_advance(lent, 1);
}

static inline void *pages(size_t bytes)
{
    void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    must_work("mmap", at == MAP_FAILED ? -1 : 0);
    return at;
}

static inline void open_ring(void)
{
    struct io_uring_params p = { .cq_entries = CQ_ENTRIES,
                                 .flags = IORING_SETUP_CQSIZE | IORING_SETUP_SUBMIT_ALL |
                                          IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN };
    must_work("io_uring", io_uring_queue_init_params(SQ_ENTRIES, &ring, &p));
    io_uring_register_ring_fd(&ring);
    memory = pages((size_t)BUFFERS * BUFFER_BYTES);
    lent = pages(BUFFERS * sizeof(struct io_uring_buf));
    struct io_uring_buf_reg registration = { .ring_addr = (unsigned long)lent, .ring_entries = BUFFERS };
    must_work("buffer ring", io_uring_register_buf_ring(&ring, &registration, 0));
    io_uring_buf_ring_init(lent);
    for (int id = 0; id < BUFFERS; id++)
        lend((unsigned)id, id);
    io_uring_buf_ring_advance(lent, BUFFERS);
}

/* Hands every completion to `completed`, for ever. */
static inline void serve(void (*completed)(struct io_uring_cqe *cqe))
{
    for (;;) {
        io_uring_submit_and_wait(&ring, 1);
        struct io_uring_cqe *cqe;
        unsigned at, count = 0;
        io_uring_for_each_cqe(&ring, at, cqe) {
            completed(cqe);
            count++;
        }
        io_uring_cq_advance(&ring, count);
    }
}
