/* Each operation as an entry of the ring. Accepting, receiving and watching are multishot: asked for once, told again and again. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "base/fault.h"
#include "net/uring.h"

enum { GATHER_MAX = 16 };

/* ---- connections ---- */

static void uring_receive(struct net *net, struct conn *conn)
{
    struct io_uring_sqe *sqe = uring_sqe(net, conn_tag(net, conn, OP_RECEIVE), 0, NULL);
    io_uring_prep_recv_multishot(sqe, conn->fd, NULL, 0, 0);
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = LENT_GROUP;
    conn->receive = RECEIVE_ARMED;
}

static void uring_receive_stop(struct net *net, struct conn *conn)
{
    uring_cancel(net, conn_tag(net, conn, OP_RECEIVE));
    conn->receive = RECEIVE_STOPPING;
}

static void send_one(struct net *net, struct conn *conn, uint32_t bytes_max)
{
    const struct block *block = conn->out.first;
    uint32_t bytes = block->end - block->begin;
    struct io_uring_sqe *sqe = uring_sqe(net, conn_tag(net, conn, OP_SEND), 0, NULL);
    io_uring_prep_send(sqe, conn->fd, block->from + block->begin, bytes < bytes_max ? bytes : bytes_max, MSG_NOSIGNAL);
}

static void send_many(struct net *net, struct conn *conn)
{
    struct gather {
        struct msghdr message;
        struct iovec pieces[GATHER_MAX];
    } *gather;
    void *memory;
    struct io_uring_sqe *sqe = uring_sqe(net, conn_tag(net, conn, OP_SEND), sizeof *gather, &memory);
    gather = memory;
    memset(&gather->message, 0, sizeof gather->message);
    gather->message.msg_iov = gather->pieces;
    gather->message.msg_iovlen = queue_gather(&conn->out, gather->pieces, GATHER_MAX);
    io_uring_prep_sendmsg(sqe, conn->fd, &gather->message, MSG_NOSIGNAL);
}

static void uring_send(struct net *net, struct conn *conn)
{
    if (fault_hit("short-send"))
        send_one(net, conn, 1);
    else if (conn->out.first->next)
        send_many(net, conn);
    else
        send_one(net, conn, UINT32_MAX);
    conn->sending = true;
}

static void uring_send_room(struct net *net, struct conn *conn)
{
    struct io_uring_sqe *sqe = uring_sqe(net, conn_tag(net, conn, OP_SEND), 0, NULL);
    io_uring_prep_poll_add(sqe, conn->fd, POLLOUT);
    conn->sending = conn->polling = true;
}

static void uring_connect(struct net *net, struct conn *conn, const struct sockaddr *address, uint32_t address_bytes)
{
    void *memory;
    struct io_uring_sqe *sqe = uring_sqe(net, conn_tag(net, conn, OP_CONNECT), address_bytes, &memory);
    memcpy(memory, address, address_bytes);
    io_uring_prep_connect(sqe, conn->fd, memory, address_bytes);
    conn->connecting = true;
}

static void uring_conn_stop(struct net *net, struct conn *conn)
{
    if (conn->connecting)
        uring_cancel(net, conn_tag(net, conn, OP_CONNECT));
    if (conn->sending) /* wakes a send that waits for room */
        shutdown(conn->fd, SHUT_RDWR);
}

/* ---- listeners and watched descriptors ---- */

static void uring_accept(struct net *net, uint32_t index)
{
    struct listener *listener = &net->listeners[index];
    fcntl(listener->fd, F_SETFL, 0); /* of a socket that does not block, the ring would not wait for anybody */
    struct io_uring_sqe *sqe = uring_sqe(net, op_tag(OP_ACCEPT, listener->generation, index), 0, NULL);
    io_uring_prep_multishot_accept(sqe, listener->fd, NULL, NULL, SOCK_CLOEXEC);
    listener->armed = true;
}

static void uring_accept_stop(struct net *net, uint32_t index)
{
    uring_cancel(net, op_tag(OP_ACCEPT, net->listeners[index].generation, index));
}

static void uring_watch(struct net *net, uint32_t index)
{
    struct watch *watch = &net->watches[index];
    struct io_uring_sqe *sqe = uring_sqe(net, op_tag(OP_WATCH, watch->generation, index), 0, NULL);
    io_uring_prep_poll_multishot(sqe, watch->fd, POLLIN);
    watch->armed = true;
}

static void uring_watch_stop(struct net *net, uint32_t index)
{
    uring_cancel(net, op_tag(OP_WATCH, net->watches[index].generation, index));
}

/* ---- files ---- */

static void open_file(struct net *net, uint64_t tag, const struct file_request *request)
{
    size_t path_bytes = strlen(request->path) + 1;
    void *memory;
    struct io_uring_sqe *sqe = uring_sqe(net, tag, (uint32_t)(sizeof(struct open_how) + path_bytes), &memory);
    struct open_how *how = memory;
    *how = (struct open_how){ .flags = request->flags, .resolve = request->resolve };
    io_uring_prep_openat2(sqe, request->fd, memcpy(how + 1, request->path, path_bytes), how);
}

static void uring_file(struct net *net, const struct file_request *request)
{
    uint64_t tag = op_tag(OP_FILE, request->generation, request->slot);
    switch (request->kind) {
    case FILE_READ:
        io_uring_prep_read(uring_sqe(net, tag, 0, NULL), request->fd, request->buffer, request->bytes, request->offset);
        break;
    case FILE_WRITE:
        io_uring_prep_write(uring_sqe(net, tag, 0, NULL), request->fd, request->buffer, request->bytes, request->offset);
        break;
    case FILE_OPEN:
        open_file(net, tag, request);
        break;
    }
}

const struct engine engine_uring = {
    .name = "io_uring",
    .bytes = sizeof(struct uring),
    .socket_flags = SOCK_CLOEXEC,
    .open = uring_open,
    .start = uring_start,
    .close = uring_close,
    .refill = uring_refill,
    .enter = uring_enter,
    .reap = uring_reap,
    .receive = uring_receive,
    .receive_stop = uring_receive_stop,
    .send = uring_send,
    .send_room = uring_send_room,
    .connect = uring_connect,
    .conn_stop = uring_conn_stop,
    .accept = uring_accept,
    .accept_stop = uring_accept_stop,
    .watch = uring_watch,
    .watch_stop = uring_watch_stop,
    .file = uring_file,
    .overflows = uring_overflows,
};
