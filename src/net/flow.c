/* Questions about one direction of a connection, and its end. */
#include "net/flow.h"

#include <errno.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "base/must.h"
#include "net/internal.h"

uint64_t conn_acked(const struct net *net, uint32_t index)
{
    const struct conn *conn = &net->conns[index];
    int unacked = 0;
    if (conn->sent == 0 || ioctl(conn->fd, SIOCOUTQ, &unacked) < 0 || unacked < 0 || (uint64_t)unacked > conn->sent)
        return conn->sent;
    return conn->sent - (uint64_t)unacked;
}

int conn_hears(const struct net *net, uint32_t index)
{
    const struct conn *conn = &net->conns[index];
    return conn->state == CONN_OPEN && conn->receive != RECEIVE_ENDED;
}

int conn_is_quiet(const struct net *net, uint32_t index)
{
    char byte;
    return recv(net->conns[index].fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN;
}

void conn_reset_at_close(struct net *net, uint32_t index)
{
    const struct linger at_once = { .l_onoff = 1, .l_linger = 0 };
    setsockopt(net->conns[index].fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
}

void conn_half_close(struct conn *conn)
{
    if (conn->state == CONN_OPEN && conn->ends && conn->out.bytes == 0)
        shutdown(conn->fd, SHUT_WR);
}

void conn_end(struct net *net, uint32_t index)
{
    struct conn *conn = &net->conns[index];
    conn->ends = true;
    conn_half_close(conn);
}

int conn_copy(struct net *net, uint32_t index, const struct net_queue *queue)
{
    int error = 0;
    for (const struct block *block = queue->first; block && !error; block = block->next)
        error = conn_write(net, index, block->from + block->begin, block->end - block->begin);
    return error;
}
