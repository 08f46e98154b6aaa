/* The turn of the engine on epoll, its listeners and watched descriptors.
 *
 * Connections and watched descriptors are told of by edges, each once; listeners as long as somebody waits in their queue, and all who share
 * one: the only one that were woken (EPOLLEXCLUSIVE) might be pausing just then. */
#include "net/epoll.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/must.h"

enum { ACCEPTS_MAX = 64, ACCEPT_WAIT_US = 1000, TIMEOUT_MS_MAX = 1 << 30 };

/* ---- birth and death ---- */

static int epoll_open(struct net *net, char *ret_message, uint32_t message_bytes)
{
    struct epoll *epoll = epoll_of(net);
    epoll->ready_first = epoll->ready_last = NOBODY;
    epoll->fd = epoll_create1(EPOLL_CLOEXEC);
    if (epoll->fd >= 0)
        return 0;
    int error = errno;
    snprintf(ret_message, message_bytes, "epoll: %s", strerror(error));
    return -error;
}

static int epoll_start(struct net *net)
{
    net->lent.target = net->lent.entries; /* nobody else fills them: all are at hand */
    return 0;
}

static void epoll_close(struct net *net)
{
    struct epoll *epoll = epoll_of(net);
    threads_free(epoll->threads);
    for (uint32_t i = 0; i < WATCHES_MAX; i++)
        if (net->watches[i].armed)
            close(net->watches[i].own_fd);
    if (epoll->fd >= 0)
        close(epoll->fd);
}

/* ---- listeners ---- */

/* The descriptor may be shared with others who accept from the same queue: who was seen can be gone, which must not hold us up. The flag is
 * seen by all who share it, and may be taken away by one of them; the time limit holds then. */
static void limit_wait(int fd, int microseconds)
{
    struct timeval most = { .tv_usec = microseconds };
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &most, sizeof most);
}

static void epoll_accept(struct net *net, uint32_t index)
{
    struct listener *listener = &net->listeners[index];
    struct epoll_event event = { .events = EPOLLIN, .data.u64 = op_tag(OP_ACCEPT, listener->generation, index) };
    fcntl(listener->fd, F_SETFL, O_NONBLOCK);
    limit_wait(listener->fd, ACCEPT_WAIT_US);
    listener->armed = true;
    if (epoll_ctl(epoll_of(net)->fd, EPOLL_CTL_ADD, listener->fd, &event) == 0)
        return;
    int error = errno;
    listen_accepted(net, index, listener->generation, error == EPERM ? -ENOTSOCK : -error, false);
}

static void epoll_accept_stop(struct net *net, uint32_t index)
{
    struct listener *listener = &net->listeners[index];
    epoll_ctl(epoll_of(net)->fd, EPOLL_CTL_DEL, listener->fd, NULL);
    limit_wait(listener->fd, 0);
    listener->armed = false;
}

/* Some of those who wait, the bound of connections is looked at between turns: the rest is told of in the next one. */
static void accept_some(struct net *net, uint32_t index, uint32_t generation)
{
    for (int i = 0; i < ACCEPTS_MAX && net->listeners[index].armed && net->listeners[index].generation == generation; i++) {
        int fd = accept4(net->listeners[index].fd, NULL, NULL, net->engine->socket_flags);
        if (fd < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (fd < 0 && errno != ECONNABORTED) {
            int error = errno;
            epoll_accept_stop(net, index);
            listen_accepted(net, index, generation, -error, false);
            return;
        }
        if (fd >= 0)
            listen_accepted(net, index, generation, fd, true);
    }
}

/* ---- watched descriptors ---- */

/* By a descriptor of its own, which is told of whatever becomes of the one it was made from. */
static void epoll_watch(struct net *net, uint32_t index)
{
    struct watch *watch = &net->watches[index];
    struct epoll_event event = { .events = EPOLLIN | EPOLLET, .data.u64 = op_tag(OP_WATCH, watch->generation, index) };
    watch->own_fd = fcntl(watch->fd, F_DUPFD_CLOEXEC, 0);
    if (watch->own_fd >= 0 && epoll_ctl(epoll_of(net)->fd, EPOLL_CTL_ADD, watch->own_fd, &event) == 0) {
        watch->armed = true;
        return;
    }
    int error = errno;
    if (watch->own_fd >= 0)
        close(watch->own_fd);
    watch_ready(net, index, watch->generation, -error, false);
}

static void epoll_watch_stop(struct net *net, uint32_t index)
{
    struct watch *watch = &net->watches[index];
    epoll_ctl(epoll_of(net)->fd, EPOLL_CTL_DEL, watch->own_fd, NULL);
    close(watch->own_fd);
    watch->armed = false;
}

/* ---- the turn ---- */

static void epoll_refill(struct net *net)
{
    net->lent.ready = net->lent.free;
}

static int epoll_enter(struct net *net, int wait, int64_t timeout_ms)
{
    struct epoll *epoll = epoll_of(net);
    int timeout = timeout_ms < 0 ? -1 : timeout_ms < TIMEOUT_MS_MAX ? (int)timeout_ms : TIMEOUT_MS_MAX;
    if (!wait || epoll->ready_first != NOBODY || net->record_count > 0)
        timeout = 0;
    net->facts.enters++;
    epoll->count = epoll_wait(epoll->fd, epoll->events, EVENTS_MAX, timeout);
    if (epoll->count >= 0)
        return 0;
    epoll->count = 0;
    return errno == EINTR ? 0 : -errno;
}

static void tell(struct net *net, const struct epoll_event *event)
{
    uint32_t slot = (uint32_t)event->data.u64, generation = (uint32_t)(event->data.u64 >> 32) & GENERATION_MASK;
    switch ((enum op)(event->data.u64 >> 56)) {
    case OP_ACCEPT:
        accept_some(net, slot, generation);
        epoll_conns_ready(net);
        break;
    case OP_WATCH:
        watch_ready(net, slot, generation, (int32_t)event->events, true);
        break;
    case OP_FILE:
        epoll_files_done(net);
        break;
    default:
        epoll_conn_event(net, slot, generation, event->events);
        break;
    }
}

/* What was left over, then what happened, in its order: a request that was sent before we were told to stop is heard before that, and a file
 * that was changed before it was asked for is known to be so. */
static void epoll_reap(struct net *net)
{
    struct epoll *epoll = epoll_of(net);
    epoll_conns_ready(net);
    for (int i = 0; i < epoll->count; i++)
        tell(net, &epoll->events[i]);
}

static uint64_t epoll_overflows(const struct net *net)
{
    (void)net;
    return 0; /* what is ready stays so until it is told */
}

const struct engine engine_epoll = {
    .name = "epoll",
    .bytes = sizeof(struct epoll),
    .socket_flags = SOCK_CLOEXEC | SOCK_NONBLOCK,
    .open = epoll_open,
    .start = epoll_start,
    .close = epoll_close,
    .refill = epoll_refill,
    .enter = epoll_enter,
    .reap = epoll_reap,
    .receive = epoll_receive,
    .receive_stop = epoll_receive_stop,
    .send = epoll_send,
    .send_room = epoll_send_room,
    .connect = epoll_connect,
    .conn_stop = epoll_conn_stop,
    .accept = epoll_accept,
    .accept_stop = epoll_accept_stop,
    .watch = epoll_watch,
    .watch_stop = epoll_watch_stop,
    .file = epoll_file,
    .overflows = epoll_overflows,
};
