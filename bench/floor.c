/* The floor: what an HTTP answer costs when the server does nothing but move bytes. One io_uring loop; every blank line received is
 * answered with the same bytes; nothing is parsed. Its CPU time per request is the yardstick for a server on the same machine in
 * the same run.
 *     floor PORT [BODY_BYTES] */
#include "floor_ring.inl.h"

enum { REPLIES_MAX = 64, FILES_MAX = 16384 };

static char *replies;
static size_t reply_bytes;

static size_t count_requests(const char *at, size_t bytes)
{
    size_t count = 0;
    const char *end = at + bytes;
    while ((at = memmem(at, (size_t)(end - at), "\r\n\r\n", 4))) {
        count++;
        at += 4;
    }
    return count;
}

static uint64_t tag(enum op op, unsigned file)
{
    return (uint64_t)file << 3 | op;
}

static void receive(unsigned file)
{
    struct io_uring_sqe *sqe = entry();
    io_uring_prep_recv_multishot(sqe, (int)file, NULL, 0, 0);
    sqe->flags |= IOSQE_FIXED_FILE | IOSQE_BUFFER_SELECT;
    sqe->user_data = tag(OP_RECEIVE, file);
}

static void answer(unsigned file, size_t count)
{
    if (count == 0)
        return;
    struct io_uring_sqe *sqe = entry();
    size_t bytes = (count < REPLIES_MAX ? count : REPLIES_MAX) * reply_bytes;
    io_uring_prep_send(sqe, (int)file, replies, bytes, MSG_NOSIGNAL | MSG_WAITALL);
    sqe->flags |= IOSQE_FIXED_FILE | IOSQE_CQE_SKIP_SUCCESS;
    sqe->user_data = tag(OP_SEND, file);
}

static void received(struct io_uring_cqe *cqe, unsigned file)
{
    if (cqe->res > 0) {
        unsigned id = cqe->flags >> IORING_CQE_BUFFER_SHIFT;
        answer(file, count_requests(memory + (size_t)id * BUFFER_BYTES, (size_t)cqe->res));
        lend_again(id);
    }
    if (cqe->flags & IORING_CQE_F_MORE)
        return;
    if (cqe->res > 0 || cqe->res == -ENOBUFS) {
        receive(file);
        return;
    }
    struct io_uring_sqe *sqe = entry();
    io_uring_prep_close_direct(sqe, file);
    sqe->user_data = tag(OP_CLOSE, file);
}

static void completed(struct io_uring_cqe *cqe)
{
    enum op op = cqe->user_data & 7;
    if (op == OP_ACCEPT && cqe->res >= 0)
        receive((unsigned)cqe->res);
    else if (op == OP_RECEIVE)
        received(cqe, (unsigned)(cqe->user_data >> 3));
}

static void make_replies(size_t body_bytes)
{
    char head[256];
    size_t head_bytes = (size_t)snprintf(head, sizeof(head),
                                         "HTTP/1.1 200 OK\r\nServer: floor\r\nDate: Sat, 21 Nov 2026 05:03:54 GMT\r\n"
                                         "Content-Type: text/plain\r\nContent-Length: %zu\r\n\r\n",
                                         body_bytes);
    reply_bytes = head_bytes + body_bytes;
    replies = malloc(reply_bytes * REPLIES_MAX);
    must_work("replies", replies ? 0 : -ENOMEM);
    for (int i = 0; i < REPLIES_MAX; i++) {
        memcpy(replies + i * reply_bytes, head, head_bytes);
        memset(replies + i * reply_bytes + head_bytes, 'x', body_bytes);
    }
}

int main(int argc, char **argv)
{
    if (argc < 2)
        return fprintf(stderr, "usage: floor PORT [BODY_BYTES]\n"), 2;
    make_replies(argc > 2 ? strtoul(argv[2], NULL, 10) : 13);
    int fd = listen_on(argv[1]);
    open_ring();
    must_work("files", io_uring_register_files_sparse(&ring, FILES_MAX));
    struct io_uring_sqe *sqe = entry();
    io_uring_prep_multishot_accept_direct(sqe, fd, NULL, NULL, 0);
    sqe->user_data = OP_ACCEPT;
    serve(completed);
}
