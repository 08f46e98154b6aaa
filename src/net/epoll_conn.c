/* Connections of the engine on epoll. Each is known to the kernel from its first wait to its close, and told of by edges: what it has told is
 * kept (`readable`, `to_end`) until the socket says that there is no more. A read that does not fill its buffer has taken all there was. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "base/fault.h"
#include "base/must.h"
#include "net/direct.h"
#include "net/epoll.h"

enum { GATHER_MAX = 64, TURN_BYTES = 1 << 20, READ_PIECES_MAX = 8, READS_MAX = 3 };

/* Whatever else may stand in the socket than bytes: read on until it says so. PRI: a read stops at the mark of urgent data. */
enum { INPUT = EPOLLIN | EPOLLRDHUP | EPOLLPRI | EPOLLET, TO_END = EPOLLRDHUP | EPOLLPRI | EPOLLHUP | EPOLLERR };

/* ---- what the kernel tells of a connection ---- */

/* 0 or -errno. Asking anew tells anew what is so already. */
static int ask(struct net *net, struct conn *conn, uint32_t mask)
{
    struct epoll_event event = { .events = mask, .data.u64 = conn_tag(net, conn, OP_RECEIVE) };
    if (epoll_ctl(epoll_of(net)->fd, conn->asked ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, conn->fd, &event) < 0)
        return -errno;
    conn->asked = true;
    return 0;
}

static void put_ready(struct net *net, struct conn *conn)
{
    struct epoll *epoll = epoll_of(net);
    uint32_t index = conn_index(net, conn);
    if (conn->listed)
        return;
    conn->listed = true;
    conn->ready_next = NOBODY;
    if (epoll->ready_last == NOBODY)
        epoll->ready_first = index;
    else
        net->conns[epoll->ready_last].ready_next = index;
    epoll->ready_last = index;
}

static void connect_ended(struct net *net, struct conn *conn)
{
    int error = 0;
    socklen_t bytes = sizeof error;
    if (getsockopt(conn->fd, SOL_SOCKET, SO_ERROR, &error, &bytes) < 0)
        error = errno;
    conn_connected(net, conn_index(net, conn), conn->generation, -error);
}

/* ---- receiving ---- */

void epoll_receive(struct net *net, struct conn *conn)
{
    conn->receive = RECEIVE_ARMED;
    bool first = !conn->asked;
    int error = first ? ask(net, conn, INPUT) : 0;
    if (first && conn->role == ROLE_CLIENT) /* most have sent before they are accepted: it is heard in this turn, before who tells us to stop */
        conn->readable = true;
    if (error)
        receive_over(net, conn, error);
    else if (conn->readable)
        put_ready(net, conn);
}

void epoll_receive_stop(struct net *net, struct conn *conn)
{
    (void)net;
    conn->receive = RECEIVE_OFF;
}

/* Free buffers as room for a read: how many. */
static uint32_t room_take(struct net *net, struct iovec pieces[READ_PIECES_MAX], uint16_t buffers[READ_PIECES_MAX], uint32_t most)
{
    uint32_t count = 0;
    int32_t buffer;
    while (count < most && (buffer = lent_take(net)) >= 0) {
        buffers[count] = (uint16_t)buffer;
        pieces[count++] = (struct iovec){ lent_memory(net, (uint32_t)buffer), net->lent.each };
    }
    return count;
}

/* What was read is told piece by piece, as long as somebody wants it; the rest of the buffers goes back. */
static void tell_bytes(struct net *net, struct conn *conn, const uint16_t *buffers, uint32_t count, size_t bytes)
{
    for (uint32_t i = 0; i < count; i++) {
        size_t piece = bytes < net->lent.each ? bytes : net->lent.each;
        if (piece > 0)
            conn_bytes(net, conn, buffers[i], (uint32_t)piece);
        else
            lent_return(net, buffers[i]);
        bytes -= piece;
    }
}

/* One read into at most so many buffers; false: there is no more to read now, or for ever. */
static bool read_once(struct net *net, struct conn *conn, uint32_t most)
{
    struct iovec pieces[READ_PIECES_MAX];
    uint16_t buffers[READ_PIECES_MAX];
    uint32_t count = room_take(net, pieces, buffers, most);
    if (count == 0) {
        receive_over(net, conn, -ENOBUFS);
        return false;
    }
    struct msghdr message = { .msg_iov = pieces, .msg_iovlen = count };
    ssize_t got = count == 1 ? recv(conn->fd, pieces->iov_base, pieces->iov_len, MSG_DONTWAIT) : recvmsg(conn->fd, &message, MSG_DONTWAIT);
    int error = errno;
    tell_bytes(net, conn, buffers, count, got > 0 ? (size_t)got : 0);
    if (got > 0) {
        if ((size_t)got < (size_t)count * net->lent.each && !conn->to_end)
            conn->readable = false;
        return conn->readable && conn->receive == RECEIVE_ARMED;
    }
    if (got < 0 && error == EINTR)
        return true;
    if (got < 0 && error == EAGAIN)
        conn->readable = false;
    else
        receive_over(net, conn, got < 0 ? -error : 0);
    return false;
}

/* A little first, as most requests are; more when there is more, and the rest in the next turn: others want to be read as well. */
static void read_some(struct net *net, struct conn *conn)
{
    for (int i = 0; i < READS_MAX; i++) {
        if (!read_once(net, conn, i == 0 ? 1 : READ_PIECES_MAX))
            return;
        if (fault_hit("receive-end")) { /* as when somebody stops it here */
            conn->receive = RECEIVE_OFF;
            receive_over(net, conn, -ECANCELED);
            return;
        }
    }
    put_ready(net, conn);
}

void epoll_conn_event(struct net *net, uint32_t index, uint32_t generation, uint32_t mask)
{
    struct conn *conn = &net->conns[index];
    if (conn->generation != generation || conn->fd < 0) /* closed earlier in this turn */
        return;
    if (conn->connecting) {
        if (mask & (EPOLLOUT | EPOLLERR | EPOLLHUP))
            connect_ended(net, conn);
    } else if (conn->sending && mask & (EPOLLOUT | EPOLLERR | EPOLLHUP)) {
        conn_sent(net, index, generation, 0);
    }
    if (mask & TO_END)
        conn->to_end = true;
    if (mask & (EPOLLIN | TO_END))
        conn->readable = true;
    if (conn->readable && conn->receive == RECEIVE_ARMED && !conn->listed) {
        read_some(net, conn);
        conn_try_join(net, conn);
    }
}

void epoll_conns_ready(struct net *net)
{
    struct epoll *epoll = epoll_of(net);
    uint32_t index = epoll->ready_first;
    epoll->ready_first = epoll->ready_last = NOBODY;
    while (index != NOBODY) {
        struct conn *conn = &net->conns[index];
        index = conn->ready_next;
        conn->listed = false;
        if (conn->readable && conn->receive == RECEIVE_ARMED)
            read_some(net, conn);
        conn_try_join(net, conn);
    }
}

/* ---- sending ---- */

void epoll_send_room(struct net *net, struct conn *conn)
{
    int error = ask(net, conn, INPUT | EPOLLOUT);
    if (error)
        conn_send_failed(net, conn, error);
    else
        conn->sending = conn->polling = true;
}

static ssize_t send_once(struct conn *conn)
{
    const struct block *block = conn->out.first;
    if (fault_hit("short-send"))
        return send(conn->fd, block->from + block->begin, 1, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (!block->next)
        return send(conn->fd, block->from + block->begin, block->end - block->begin, MSG_DONTWAIT | MSG_NOSIGNAL);
    struct iovec pieces[GATHER_MAX];
    struct msghdr message = { .msg_iov = pieces, .msg_iovlen = queue_gather(&conn->out, pieces, GATHER_MAX) };
    return sendmsg(conn->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* As much as the socket takes, or the connection's share of this turn. */
void epoll_send(struct net *net, struct conn *conn)
{
    uint32_t left = TURN_BYTES;
    while (left > 0 && conn->out.bytes > 0) {
        ssize_t sent = send_once(conn);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0) {
            if (errno == EAGAIN)
                epoll_send_room(net, conn);
            else
                conn_send_failed(net, conn, -errno);
            return;
        }
        left -= (uint32_t)sent < left ? (uint32_t)sent : left;
        conn_took(net, conn, (uint32_t)sent);
        if (conn->state >= CONN_CLOSING || direct_is_due(net, conn))
            return;
    }
}

/* ---- connecting ---- */

/* A Unix socket whose queue is full fails at once, with EAGAIN: nobody would tell us of room in it. */
void epoll_connect(struct net *net, struct conn *conn, const struct sockaddr *address, uint32_t address_bytes)
{
    conn->connecting = true;
    int error = connect(conn->fd, address, address_bytes) == 0 ? 0 : errno;
    if (error == EINPROGRESS || error == EINTR)
        error = -ask(net, conn, INPUT | EPOLLOUT);
    else if (error == 0)
        connect_ended(net, conn);
    if (error)
        conn_connected(net, conn_index(net, conn), conn->generation, -error);
}

/* Nothing is in the kernel but what it is asked to tell, which ends with the descriptor. */
void epoll_conn_stop(struct net *net, struct conn *conn)
{
    (void)net;
    conn->connecting = conn->sending = conn->polling = false;
}
