/* Receiving: asked for once per connection, stopped and started again, and those who wait for a lent buffer. */
#include <errno.h>

#include "base/fault.h"
#include "base/must.h"
#include "net/engine.h"

enum { LINGER_BYTES_MAX = 1 << 20 };

/* ---- asking, and those who found no buffer ---- */

static void starve(struct net *net, struct conn *conn)
{
    must(conn->receive == RECEIVE_OFF && conn->next == NOBODY);
    conn->receive = RECEIVE_STARVED;
    conn->next = NOBODY;
    if (net->starved_last == NOBODY)
        net->starved_first = conn_index(net, conn);
    else
        net->conns[net->starved_last].next = conn_index(net, conn);
    net->starved_last = conn_index(net, conn);
}

static void receive_arm(struct net *net, struct conn *conn)
{
    if (fault_hit("no-buffer")) {
        net->facts.no_buffers++;
        starve(net, conn);
        return;
    }
    net->engine->receive(net, conn);
}

void receive_stop(struct net *net, struct conn *conn)
{
    if (conn->receive == RECEIVE_ARMED)
        net->engine->receive_stop(net, conn);
}

void receive_unstarve(struct net *net, struct conn *conn)
{
    must(conn->receive == RECEIVE_STARVED);
    uint32_t *link = &net->starved_first, previous = NOBODY;
    while (*link != conn_index(net, conn)) {
        previous = *link;
        link = &net->conns[previous].next;
    }
    *link = conn->next;
    if (net->starved_last == conn_index(net, conn))
        net->starved_last = previous;
    conn->next = NOBODY;
    conn->receive = RECEIVE_OFF;
}

/* Those who found no buffer ask again once half of what the ring should hold is back: each turn no more of them than there are
 * buffers, else thousands would ask for hundreds and find none again. */
void conn_feed_starved(struct net *net)
{
    if (net->lent.ready < (net->lent.target + 1) / 2)
        return;
    uint32_t buffers = net->lent.ready;
    while (net->starved_first != NOBODY && buffers > 0) {
        struct conn *conn = &net->conns[net->starved_first];
        receive_unstarve(net, conn);
        if (!conn->wanted)
            continue;
        receive_arm(net, conn);
        buffers--;
    }
}

void conn_resume(struct net *net, uint32_t index)
{
    struct conn *conn = &net->conns[index];
    conn->wanted = true;
    if (conn->receive == RECEIVE_OFF && (conn->state == CONN_OPEN || conn->state == CONN_LINGERING))
        receive_arm(net, conn);
}

void conn_pause(struct net *net, uint32_t index)
{
    struct conn *conn = &net->conns[index];
    conn->wanted = false;
    receive_stop(net, conn);
}

int conn_is_paused(const struct net *net, uint32_t index)
{
    return !net->conns[index].wanted;
}

/* ---- completions ---- */

void conn_bytes(struct net *net, struct conn *conn, uint32_t buffer, uint32_t count)
{
    net->facts.bytes_in += count;
    if (conn->state == CONN_OPEN) {
        struct net_event event = { .kind = NET_BYTES, .role = conn->role, .conn = conn_index(net, conn), .owner = conn->owner, .count = count,
                                   .bytes = lent_memory(net, buffer) };
        net_record(net, &event, conn->generation, (int32_t)buffer);
        return;
    }
    lent_return(net, buffer);
    if (conn->state != CONN_LINGERING)
        return;
    conn->discarded += count;
    if (conn->discarded > LINGER_BYTES_MAX)
        conn_close_now(net, conn);
}

/* Receiving is over; `result` says why. */
void receive_over(struct net *net, struct conn *conn, int32_t result)
{
    bool stopping = conn->receive == RECEIVE_STOPPING;
    conn->receive = RECEIVE_OFF;
    if (result == 0)
        conn->receive = RECEIVE_ENDED;
    if (conn->state == CONN_CLOSING) {
        conn_try_join(net, conn);
        return;
    }
    if (result == 0) {
        if (conn->state == CONN_LINGERING)
            conn_close_now(net, conn);
        else if (conn->state == CONN_OPEN)
            conn_tell(net, conn, NET_END, 0);
        return;
    }
    if (result == -ENOBUFS && !stopping) {
        net->facts.no_buffers++;
        if (conn->wanted)
            starve(net, conn);
        return;
    }
    bool cancelled = result == -ECANCELED || result == -ENOBUFS; /* the latter from Linux 6.0 to 6.4 */
    if (result > 0 || cancelled || result == -EINTR || result == -EAGAIN) {
        if (conn->wanted && (conn->state == CONN_OPEN || conn->state == CONN_LINGERING))
            receive_arm(net, conn);
        return;
    }
    conn->receive = RECEIVE_ENDED;
    if (conn->state == CONN_OPEN)
        conn_tell(net, conn, NET_FAILED, result);
    else
        conn_close_now(net, conn);
}
