/* Large pieces of lent memory that is a file, too: sendfile(2) at once, without the ring. The socket takes the pages themselves, so nothing is
 * copied here; through the ring the same would go by a thread (IORING_OP_SPLICE). What the kernel does not take now is waited for by a
 * poll, which counts as the one send that a connection has under way. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "base/fault.h"
#include "net/internal.h"

enum { DIRECT_LEAST = 32768, GATHER_MAX = 8, TURN_BYTES = 1 << 20 };

static bool is_direct(const struct block *block)
{
    return block->loan && block->loan->fd > 0 && block->end - block->begin >= DIRECT_LEAST;
}

/* Is there such a piece among the first? What stands before it, heads most likely, goes out at once with it. */
bool direct_is_due(const struct conn *conn)
{
    int count = 0;
    for (const struct block *block = conn->out.first; block && count < GATHER_MAX; block = block->next, count++)
        if (is_direct(block))
            return true;
    return false;
}

/* What stands before the piece. */
static ssize_t send_before(const struct conn *conn)
{
    struct iovec pieces[GATHER_MAX];
    struct msghdr message = { .msg_iov = pieces };
    for (struct block *block = conn->out.first; !is_direct(block); block = block->next)
        pieces[message.msg_iovlen++] = (struct iovec){ (char *)block->from + block->begin, block->end - block->begin };
    return sendmsg(conn->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL | MSG_MORE);
}

static ssize_t send_piece(const struct conn *conn, uint32_t most)
{
    const struct block *block = conn->out.first;
    uint32_t bytes = block->end - block->begin;
    off_t offset = block->from - block->loan->base + block->begin;
    if (fault_hit("short-send"))
        most = 1;
    return sendfile(conn->fd, block->loan->fd, &offset, bytes < most ? bytes : most);
}

static void poll_arm(struct net *net, struct conn *conn)
{
    struct io_uring_sqe *sqe = uring_sqe(net, conn_tag(net, conn, OP_SEND), 0, NULL);
    io_uring_prep_poll_add(sqe, conn->fd, POLLOUT);
    conn->sending = conn->polling = true;
}

void direct_send(struct net *net, struct conn *conn)
{
    uint32_t left = TURN_BYTES;
    fcntl(conn->fd, F_SETFL, O_NONBLOCK); /* sendfile(2) has no flag for it; operations of the ring look when they are submitted */
    while (left > 0 && direct_is_due(conn)) {
        ssize_t sent = is_direct(conn->out.first) ? send_piece(conn, left) : send_before(conn);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0) {
            int error = errno;
            fcntl(conn->fd, F_SETFL, 0);
            if (error == EAGAIN)
                poll_arm(net, conn);
            else
                conn_send_failed(net, conn, -error);
            return;
        }
        left -= (uint32_t)sent < left ? (uint32_t)sent : left;
        conn_took(net, conn, (uint32_t)sent);
        if (conn->state >= CONN_CLOSING)
            return;
    }
    fcntl(conn->fd, F_SETFL, 0);
}
