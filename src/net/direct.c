/* Large pieces of lent pages, without the ring: vmsplice(2) puts the pages into a pipe, splice(2) from there into the socket, and nothing is
 * copied on this side. The pages belong to the kernel's queue from then on, so whoever lent them must not write to them, and may only
 * unmap them. (sendfile(2) from a file in memory takes a quarter more time, copying a half: bench/run, row file-1m; the ring's own splice
 * goes by a thread.) What the socket does not take now is waited for by a poll, which counts as the one send of a connection. */
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/fault.h"
#include "net/direct.h"
#include "net/engine.h"

enum { DIRECT_LEAST = 65536, BEFORE_MAX = 8, TURN_BYTES = 1 << 20, PIPE_BYTES = 1 << 20 };

/* ---- the pipe: empty whenever nobody is sending ---- */

static bool pipe_open(struct net *net)
{
    if (net->pipe[0] != 0)
        return net->pipe[0] > 0;
    net->nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (net->nowhere < 0 || pipe2(net->pipe, O_CLOEXEC) < 0) {
        direct_close(net);
        net->pipe[0] = -1;
        return false;
    }
    fcntl(net->pipe[1], F_SETPIPE_SZ, PIPE_BYTES); /* a smaller one works as well, in more steps */
    return true;
}

void direct_close(struct net *net)
{
    if (net->pipe[0] > 0) {
        close(net->pipe[0]);
        close(net->pipe[1]);
    }
    if (net->nowhere > 0)
        close(net->nowhere);
    net->pipe[0] = net->pipe[1] = net->nowhere = 0;
}

/* What the socket did not take goes nowhere: it is put in again later. */
static void pipe_drop(struct net *net, size_t bytes)
{
    while (bytes > 0) {
        ssize_t dropped = splice(net->pipe[0], NULL, net->nowhere, NULL, bytes, SPLICE_F_NONBLOCK);
        if (dropped <= 0) {
            direct_close(net); /* the next piece has a new one */
            return;
        }
        bytes -= (size_t)dropped;
    }
}

/* ---- sending ---- */

static bool is_direct(const struct block *block)
{
    return block->loan && block->loan->paged && block->end - block->begin >= DIRECT_LEAST;
}

/* Is there such a piece among the first? What stands before it, heads most likely, goes out at once with it. */
bool direct_is_due(const struct net *net, const struct conn *conn)
{
    int count = 0;
    if (net->pipe[0] < 0)
        return false;
    for (const struct block *block = conn->out.first; block && count < BEFORE_MAX; block = block->next, count++)
        if (is_direct(block))
            return true;
    return false;
}

/* What stands before the piece. */
static ssize_t send_before(const struct conn *conn)
{
    struct iovec pieces[BEFORE_MAX];
    struct msghdr message = { .msg_iov = pieces };
    for (struct block *block = conn->out.first; !is_direct(block); block = block->next)
        pieces[message.msg_iovlen++] = (struct iovec){ (char *)block->from + block->begin, block->end - block->begin };
    return sendmsg(conn->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL | MSG_MORE);
}

static ssize_t send_piece(struct net *net, const struct conn *conn, uint32_t most)
{
    const struct block *block = conn->out.first;
    uint32_t bytes = block->end - block->begin;
    struct iovec pages = { (char *)block->from + block->begin, bytes < most ? bytes : most };
    if (fault_hit("short-send"))
        pages.iov_len = 1;
    ssize_t put = vmsplice(net->pipe[1], &pages, 1, SPLICE_F_NONBLOCK), sent = 0, step = 0;
    while (sent < put && (step = splice(net->pipe[0], NULL, conn->fd, NULL, (size_t)(put - sent), SPLICE_F_NONBLOCK)) > 0)
        sent += step;
    int error = put < 0 || step < 0 ? errno : EPIPE;
    if (sent < put)
        pipe_drop(net, (size_t)(put - sent));
    errno = error;
    return sent > 0 ? sent : -1;
}

/* splice(2) has no flag for it; operations of the ring look when they are submitted. */
static void set_blocking(const struct net *net, const struct conn *conn, bool blocking)
{
    if (!(net->engine->socket_flags & SOCK_NONBLOCK))
        fcntl(conn->fd, F_SETFL, blocking ? 0 : O_NONBLOCK);
}

void direct_send(struct net *net, struct conn *conn)
{
    uint32_t left = TURN_BYTES;
    if (!pipe_open(net)) { /* then by the ring, from the next turn on */
        conn_took(net, conn, 0);
        return;
    }
    set_blocking(net, conn, false);
    while (left > 0 && direct_is_due(net, conn)) {
        ssize_t sent = is_direct(conn->out.first) ? send_piece(net, conn, left) : send_before(conn);
        if (sent < 0 && errno != EINTR) {
            int error = errno;
            set_blocking(net, conn, true);
            if (error == EAGAIN)
                net->engine->send_room(net, conn);
            else
                conn_send_failed(net, conn, -error);
            return;
        }
        if (sent < 0)
            continue;
        left -= (uint32_t)sent < left ? (uint32_t)sent : left;
        conn_took(net, conn, (uint32_t)sent);
        if (conn->state >= CONN_CLOSING)
            return;
    }
    set_blocking(net, conn, true);
}
