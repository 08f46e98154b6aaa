/* Connections: states, the output queue with one send in flight, connecting, deadlines, and closing as a join. */
#include <errno.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/must.h"
#include "net/direct.h"
#include "net/engine.h"

enum { LINGER_MS = 5000 };

void conn_tell(struct net *net, struct conn *conn, enum net_event_kind kind, int32_t result)
{
    struct net_event event = { .kind = (uint8_t)kind, .role = conn->role, .conn = conn_index(net, conn), .owner = conn->owner, .result = result };
    net_record(net, &event, conn->generation, -1);
}

/* ---- state: one door ---- */

static void move(struct conn *conn, enum conn_state to)
{
    static const uint8_t allowed[] = {
        [CONN_FREE] = 1 << CONN_OPEN | 1 << CONN_CONNECTING,
        [CONN_CONNECTING] = 1 << CONN_OPEN | 1 << CONN_CLOSING,
        [CONN_OPEN] = 1 << CONN_FLUSHING | 1 << CONN_CLOSING,
        [CONN_FLUSHING] = 1 << CONN_LINGERING | 1 << CONN_CLOSING,
        [CONN_LINGERING] = 1 << CONN_CLOSING,
        [CONN_CLOSING] = 1 << CONN_CLOSED,
        [CONN_CLOSED] = 1 << CONN_FREE,
    };
    must(allowed[conn->state] & 1 << to);
    conn->state = (uint8_t)to;
}

uint32_t conn_new(struct net *net, int fd, enum conn_state first, enum net_role role, uint32_t owner)
{
    uint32_t index = net->conn_free;
    if (index != NOBODY)
        net->conn_free = net->conns[index].next;
    else if (net->conn_top < net->conn_room)
        index = net->conn_top++;
    else
        return NOBODY;
    struct conn *conn = &net->conns[index];
    uint32_t generation = conn->generation;
    memset(conn, 0, sizeof *conn);
    conn->generation = generation;
    conn->fd = fd;
    conn->role = (uint8_t)role;
    conn->owner = owner;
    conn->drain_mark = NOBODY;
    conn->next = conn->dirty_next = NOBODY;
    move(conn, first);
    net->conn_count++;
    return index;
}

/* After NET_CLOSED was told: the number may be used again. */
void conn_release(struct net *net, uint32_t index)
{
    struct conn *conn = &net->conns[index];
    must(!conn->sending && !conn->connecting && !conn->out.first && !conn->dirty && !conn->listed);
    move(conn, CONN_FREE);
    conn->generation = (conn->generation + 1) & GENERATION_MASK;
    conn->next = net->conn_free;
    net->conn_free = index;
    net->conn_count--;
}

/* ---- deadlines ---- */

/* Only clients: who sends to an upstream has its own idea of how long that may take. */
static uint32_t stall_ms(const struct net *net, const struct conn *conn)
{
    return conn->role == ROLE_CLIENT ? net->options.stall_ms : 0;
}

/* The node stands at the deadline or, while a send is under way, at the next check for a stall, whichever is earlier, and is put back
 * when it fires: moving a deadline on is a store, and one check serves all sends of a quarter of stall_ms. */
static uint64_t next_check(const struct net *net, const struct conn *conn)
{
    uint64_t due = conn->deadline ? conn->deadline : UINT64_MAX;
    if (conn->sending && stall_ms(net, conn)) {
        uint64_t check = net->tick + stall_ms(net, conn) / 4 + 1;
        due = check < due ? check : due;
    }
    return due;
}

static void timer_stand_by(struct net *net, struct conn *conn, uint64_t latest)
{
    if (conn->timer.next && conn->timer.due <= latest)
        return;
    uint64_t due = next_check(net, conn);
    wheel_remove(&net->wheel, &conn->timer);
    if (due != UINT64_MAX)
        wheel_insert(&net->wheel, &conn->timer, due);
}

void conn_deadline(struct net *net, uint32_t index, uint32_t ms)
{
    struct conn *conn = &net->conns[index];
    if (conn->state == CONN_FREE || conn->state >= CONN_CLOSING) /* a node in the wheel would outlive the connection */
        return;
    conn->deadline = ms ? net->tick + ms + 1 : 0;
    timer_stand_by(net, conn, ms ? conn->deadline : UINT64_MAX);
}

/* ---- those with something to send ---- */

static void mark_dirty(struct net *net, struct conn *conn)
{
    if (conn->dirty)
        return;
    conn->dirty = true;
    conn->dirty_next = NOBODY;
    if (net->dirty_last == NOBODY)
        net->dirty_first = conn_index(net, conn);
    else
        net->conns[net->dirty_last].dirty_next = conn_index(net, conn);
    net->dirty_last = conn_index(net, conn);
}

/* ---- closing: mark, cancel, join ---- */

/* Each completion comes by here, and leaving a list of those to be looked at; the last one closes. */
void conn_try_join(struct net *net, struct conn *conn)
{
    if (conn->state != CONN_CLOSING || conn->sending || conn->connecting || conn->dirty || conn->listed)
        return;
    if (conn->receive == RECEIVE_ARMED || conn->receive == RECEIVE_STOPPING)
        return;
    if (conn->receive == RECEIVE_STARVED)
        receive_unstarve(net, conn);
    int32_t unsent = conn->out.bytes > 0 ? -EPIPE : 0;
    queue_free(net, &conn->out);
    wheel_remove(&net->wheel, &conn->timer);
    close(conn->fd);
    conn->fd = -1;
    move(conn, CONN_CLOSED);
    conn_tell(net, conn, NET_CLOSED, unsent);
}

void conn_close_now(struct net *net, struct conn *conn)
{
    if (conn->state >= CONN_CLOSING)
        return;
    move(conn, CONN_CLOSING);
    conn->deadline = 0;
    conn->wanted = false;
    receive_stop(net, conn);
    if (conn->connecting || conn->sending)
        net->engine->conn_stop(net, conn);
    conn_try_join(net, conn);
}

/* The queue is sent: the next step of a gentle close. */
static void flushed(struct net *net, struct conn *conn)
{
    if (!conn->linger || conn->receive == RECEIVE_ENDED) {
        conn_close_now(net, conn);
        return;
    }
    move(conn, CONN_LINGERING);
    shutdown(conn->fd, SHUT_WR);
    if (!conn->deadline)
        conn_deadline(net, conn_index(net, conn), LINGER_MS);
    conn_resume(net, conn_index(net, conn));
}

void conn_close(struct net *net, uint32_t index, enum close_mode mode)
{
    struct conn *conn = &net->conns[index];
    must(conn->state != CONN_FREE);
    if (mode == CLOSE_NOW || conn->state == CONN_CONNECTING) {
        conn_close_now(net, conn);
        return;
    }
    if (conn->state != CONN_OPEN)
        return;
    move(conn, CONN_FLUSHING);
    conn->linger = mode == CLOSE_LINGER;
    if (!conn->linger)
        conn_pause(net, index);
    if (conn->out.bytes == 0)
        flushed(net, conn);
    else if (!conn->sending) /* also after a send that failed, when nobody was told yet: the next one fails as well, and closes */
        mark_dirty(net, conn);
}

/* ---- sending ---- */

static bool takes_output(const struct conn *conn)
{
    return conn->state == CONN_OPEN || conn->state == CONN_CONNECTING;
}

char *conn_out(struct net *net, uint32_t index, uint32_t bytes)
{
    struct conn *conn = &net->conns[index];
    if (!takes_output(conn) || fault_hit("no-block"))
        return NULL;
    return queue_out(net, &conn->out, bytes);
}

void conn_out_commit(struct net *net, uint32_t index, uint32_t bytes)
{
    struct conn *conn = &net->conns[index];
    must(takes_output(conn));
    queue_commit(&conn->out, bytes);
    mark_dirty(net, conn);
}

int conn_write(struct net *net, uint32_t index, const char *bytes, uint32_t count)
{
    struct conn *conn = &net->conns[index];
    if (!takes_output(conn))
        return -EPIPE;
    int error = queue_write(net, &conn->out, bytes, count);
    if (!error)
        mark_dirty(net, conn);
    return error;
}

int conn_lend(struct net *net, uint32_t index, const char *bytes, uint32_t count, struct net_loan *loan)
{
    struct conn *conn = &net->conns[index];
    if (!takes_output(conn))
        return -EPIPE;
    int error = queue_lend(net, &conn->out, bytes, count, loan);
    if (!error)
        mark_dirty(net, conn);
    return error;
}

void conn_take(struct net *net, uint32_t index, struct net_queue *queue)
{
    struct conn *conn = &net->conns[index];
    if (!takes_output(conn))
        queue_free(net, queue);
    if (!queue->first)
        return;
    if (conn->out.last)
        conn->out.last->next = queue->first;
    else
        conn->out.first = queue->first;
    conn->out.last = queue->last;
    conn->out.bytes += queue->bytes;
    *queue = (struct net_queue){ 0 };
    mark_dirty(net, conn);
}

uint64_t conn_sent_total(const struct net *net, uint32_t index)
{
    return net->conns[index].sent;
}

uint32_t conn_queued(const struct net *net, uint32_t index)
{
    return net->conns[index].out.bytes;
}

static void check_drained(struct net *net, struct conn *conn)
{
    if (conn->drain_mark == NOBODY || conn->out.bytes > conn->drain_mark)
        return;
    conn->drain_mark = NOBODY;
    conn_tell(net, conn, NET_DRAINED, 0);
}

void conn_notify_drained(struct net *net, uint32_t index, uint32_t mark)
{
    net->conns[index].drain_mark = mark;
    check_drained(net, &net->conns[index]);
}

static void send_queued(struct net *net, struct conn *conn)
{
    if (conn->sending || conn->out.bytes == 0 || conn->connecting || conn->state >= CONN_CLOSING)
        return;
    if (direct_is_due(net, conn))
        direct_send(net, conn);
    else
        net->engine->send(net, conn);
    if (!conn->sending)
        return;
    conn->send_since = net->tick;
    if (stall_ms(net, conn))
        timer_stand_by(net, conn, net->tick + stall_ms(net, conn) / 4 + 1);
}

void conn_flush_dirty(struct net *net)
{
    uint32_t index = net->dirty_first;
    net->dirty_first = net->dirty_last = NOBODY;
    while (index != NOBODY) {
        struct conn *conn = &net->conns[index];
        index = conn->dirty_next;
        conn->dirty = false;
        conn->dirty_next = NOBODY;
        send_queued(net, conn);
        conn_try_join(net, conn);
    }
}

void conn_sent(struct net *net, uint32_t index, uint32_t generation, int32_t result)
{
    struct conn *conn = &net->conns[index];
    must(conn->generation == generation && conn->sending); /* a slot outlives its operations */
    conn->sending = false;
    if (conn->state == CONN_CLOSING) {
        conn_try_join(net, conn);
        return;
    }
    if (conn->polling) { /* trying again tells what there is to tell */
        conn->polling = false;
        mark_dirty(net, conn);
    } else if (result < 0 && result != -EINTR && result != -EAGAIN) {
        conn_send_failed(net, conn, result);
    } else {
        conn_took(net, conn, result > 0 ? (uint32_t)result : 0);
    }
}

void conn_send_failed(struct net *net, struct conn *conn, int32_t result)
{
    if (conn->state == CONN_OPEN)
        conn_tell(net, conn, NET_FAILED, result);
    else
        conn_close_now(net, conn);
}

/* The kernel has taken so much of the queue. */
void conn_took(struct net *net, struct conn *conn, uint32_t bytes)
{
    if (bytes > 0) {
        net->facts.bytes_out += bytes;
        conn->sent += bytes;
        queue_take_out(net, &conn->out, bytes);
        if (conn->state == CONN_OPEN)
            check_drained(net, conn);
    }
    if (conn->out.bytes > 0)
        mark_dirty(net, conn);
    else if (conn->state == CONN_FLUSHING)
        flushed(net, conn);
    else if (conn->ends)
        conn_half_close(conn);
}

/* ---- connecting ---- */

int conn_connect(struct net *net, const struct sockaddr *address, uint32_t address_bytes, uint32_t owner, uint32_t *ret_conn)
{
    int fd = socket(address->sa_family, SOCK_STREAM | net->engine->socket_flags, 0);
    if (fd < 0)
        return -errno;
    if (address->sa_family != AF_UNIX) {
        int one = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    }
    uint32_t index = conn_new(net, fd, CONN_CONNECTING, ROLE_UPSTREAM, owner);
    if (index == NOBODY) {
        close(fd);
        return -EMFILE;
    }
    struct conn *conn = &net->conns[index];
    *ret_conn = index;
    net->engine->connect(net, conn, address, address_bytes);
    return 0;
}

void conn_connected(struct net *net, uint32_t index, uint32_t generation, int32_t result)
{
    struct conn *conn = &net->conns[index];
    must(conn->generation == generation && conn->connecting);
    conn->connecting = false;
    if (conn->state == CONN_CLOSING) {
        conn_try_join(net, conn);
        return;
    }
    if (result < 0) {
        conn->receive = RECEIVE_ENDED;
        conn_tell(net, conn, NET_FAILED, result);
        return;
    }
    move(conn, CONN_OPEN);
    conn_tell(net, conn, NET_CONNECTED, 0);
    conn_resume(net, index);
    if (conn->out.bytes > 0)
        mark_dirty(net, conn);
}

/* ---- the timer has fired ---- */

/* The kernel takes more only when a third of its own queue is free, which may be megabytes: a slow peer is not one that stands still, so
 * what the peer has not acknowledged (SIOCOUTQ) counts as well. */
static bool has_stalled(const struct net *net, struct conn *conn)
{
    if (!conn->sending || !stall_ms(net, conn))
        return false;
    int unacked = 0;
    if (ioctl(conn->fd, SIOCOUTQ, &unacked) == 0 && unacked != conn->unacked) {
        conn->unacked = unacked;
        conn->send_since = net->tick;
    }
    return net->tick - conn->send_since >= stall_ms(net, conn);
}

void conn_timer_fired(struct net *net, struct conn *conn)
{
    if (conn->state >= CONN_CLOSING)
        return;
    bool late = conn->deadline && conn->deadline <= net->tick, stalled = has_stalled(net, conn);
    if (late)
        conn->deadline = 0;
    if ((late || stalled) && conn->state != CONN_OPEN && conn->state != CONN_CONNECTING) {
        conn_close_now(net, conn);
        return;
    }
    uint64_t due = next_check(net, conn);
    if (due != UINT64_MAX)
        wheel_insert(&net->wheel, &conn->timer, due);
    if (stalled)
        conn_tell(net, conn, NET_FAILED, -ETIMEDOUT);
    else if (late)
        conn_tell(net, conn, NET_TIMEOUT, 0);
}

void conn_own(struct net *net, uint32_t index, uint32_t owner)
{
    net->conns[index].owner = owner;
}

uint32_t net_conn_room(const struct net *net)
{
    return net->conn_room;
}

int conn_fd(const struct net *net, uint32_t index)
{
    return net->conns[index].fd;
}
