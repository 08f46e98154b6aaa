/* The floor of a proxy: bytes carried between a client and an upstream connection of its own; nothing is parsed.
 *     floor_proxy PORT UPSTREAM_PORT */
#include "floor_ring.inl.h"

#include <netinet/tcp.h>
#include <unistd.h>

enum { FDS_MAX = 65536 };

static int peer[FDS_MAX]; /* the other side's descriptor; -1: it has been closed, and its number may be another's by now */
static struct sockaddr_in upstream_address;

static void receive(int fd)
{
    struct io_uring_sqe *sqe = entry();
    io_uring_prep_recv_multishot(sqe, fd, NULL, 0, 0);
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->user_data = (uint64_t)fd << 3 | OP_RECEIVE;
}

static void send_at_once(int fd)
{
    int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
}

static void accepted(int client)
{
    int upstream = socket(AF_INET, SOCK_STREAM, 0);
    if (upstream < 0 || connect(upstream, (struct sockaddr *)&upstream_address, sizeof(upstream_address)) != 0) {
        close(client);
        close(upstream);
        return;
    }
    send_at_once(upstream);
    send_at_once(client);
    peer[upstream] = client;
    peer[client] = upstream;
    receive(client);
    receive(upstream);
}

/* Sends what was received; its buffer is lent again when it has been sent. */
static void carry(int to, unsigned id, size_t bytes)
{
    if (to < 0) {
        lend_again(id);
        return;
    }
    struct io_uring_sqe *sqe = entry();
    io_uring_prep_send(sqe, to, memory + (size_t)id * BUFFER_BYTES, bytes, MSG_NOSIGNAL | MSG_WAITALL);
    sqe->user_data = (uint64_t)id << 32 | OP_SEND;
}

static void ended(int fd)
{
    if (peer[fd] >= 0) {
        shutdown(peer[fd], SHUT_RDWR);
        peer[peer[fd]] = -1;
    }
    close(fd);
}

static void received(struct io_uring_cqe *cqe, int fd)
{
    if (cqe->res > 0)
        carry(peer[fd], cqe->flags >> IORING_CQE_BUFFER_SHIFT, (size_t)cqe->res);
    if (cqe->flags & IORING_CQE_F_MORE)
        return;
    if (cqe->res > 0 || cqe->res == -ENOBUFS)
        receive(fd);
    else
        ended(fd);
}

static void completed(struct io_uring_cqe *cqe)
{
    enum op op = cqe->user_data & 7;
    if (op == OP_ACCEPT && cqe->res >= 0)
        accepted(cqe->res);
    else if (op == OP_RECEIVE)
        received(cqe, (int)(cqe->user_data >> 3));
    else if (op == OP_SEND)
        lend_again((unsigned)(cqe->user_data >> 32));
}

int main(int argc, char **argv)
{
    if (argc < 3)
        return fprintf(stderr, "usage: floor_proxy PORT UPSTREAM_PORT\n"), 2;
    upstream_address = loopback(argv[2]);
    int fd = listen_on(argv[1]);
    open_ring();
    struct io_uring_sqe *sqe = entry();
    io_uring_prep_multishot_accept(sqe, fd, NULL, NULL, 0);
    sqe->user_data = OP_ACCEPT;
    serve(completed);
}
