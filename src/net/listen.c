/* Accepting, with a pause when the worker is full, and watching descriptors for reading. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/must.h"
#include "net/engine.h"

enum { ACCEPT_RETRY_MS = 100, LISTENERS_FIRST = 16, DRAIN_MAX = 65536 };

/* A free place, or NULL: out of memory. */
static struct listener *listener_get(struct net *net)
{
    for (uint32_t i = 0; i < net->listener_room; i++)
        if (!net->listeners[i].wanted && !net->listeners[i].armed)
            return &net->listeners[i];
    uint32_t room = net->listener_room ? net->listener_room * 2 : LISTENERS_FIRST;
    struct listener *listeners = realloc(net->listeners, room * sizeof *listeners);
    if (!listeners)
        return NULL;
    memset(listeners + net->listener_room, 0, (room - net->listener_room) * sizeof *listeners);
    net->listeners = listeners;
    struct listener *first = &listeners[net->listener_room];
    net->listener_room = room;
    return first;
}

int net_listen(struct net *net, int fd, uint32_t number)
{
    struct listener *listener = listener_get(net);
    if (!listener)
        return -ENOMEM;
    listener->fd = fd;
    listener->number = number;
    listener->wanted = true;
    listener->generation = (listener->generation + 1) & GENERATION_MASK;
    if (!net->accept_paused)
        net->engine->accept(net, (uint32_t)(listener - net->listeners));
    return 0;
}

static void stop(struct net *net, struct listener *listener)
{
    listener->wanted = false;
    if (listener->armed)
        net->engine->accept_stop(net, (uint32_t)(listener - net->listeners));
}

void net_listen_stop(struct net *net, uint32_t number)
{
    for (uint32_t i = 0; i < net->listener_room; i++)
        if (net->listeners[i].wanted && net->listeners[i].number == number)
            stop(net, &net->listeners[i]);
}

void net_listen_look(struct net *net)
{
    for (uint32_t i = 0; i < net->listener_room && !net->accept_paused; i++) {
        const struct listener *listener = &net->listeners[i];
        if (!listener->wanted || !listener->armed)
            continue;
        net->engine->accept_stop(net, i); /* its end begins it anew */
        if (!listener->armed)
            net->engine->accept(net, i);
    }
}

/* Pauses accepting at the bound of connections, goes on a little below it. */
void listen_update(struct net *net)
{
    bool retry = net->accept_again && net->tick >= net->accept_again;
    if (!net->accept_paused && net->conn_count >= net->options.connections) {
        net->accept_paused = true;
        for (uint32_t i = 0; i < net->listener_room; i++)
            if (net->listeners[i].armed)
                net->engine->accept_stop(net, i);
    } else if (net->accept_paused && net->conn_count + net->options.connections / 64 < net->options.connections) {
        net->accept_paused = false;
        retry = true;
    }
    if (!retry)
        return;
    net->accept_again = 0; /* also while paused: a time that has passed would keep the worker awake */
    if (net->accept_paused)
        return;
    for (uint32_t i = 0; i < net->listener_room; i++)
        if (net->listeners[i].wanted && !net->listeners[i].armed)
            net->engine->accept(net, i);
}

/* Out of descriptors, give those who come a clear end instead of silence: the spare one is given up so that accepting goes on (the kernel
 * refuses to begin without a free number, even when nobody waits), and the next connection is kept only if it can be had back. */
static bool spare_give_up(struct net *net)
{
    if (net->spare_fd < 0)
        return false;
    close(net->spare_fd);
    net->spare_fd = -1;
    return true;
}

static bool spare_get(struct net *net)
{
    if (net->spare_fd < 0)
        net->spare_fd = eventfd(0, EFD_CLOEXEC); /* of all that takes a number: needs no path, fails for nothing else */
    return net->spare_fd >= 0;
}

static void accept_one(struct net *net, struct listener *listener, int fd)
{
    uint32_t index = conn_new(net, fd, CONN_OPEN, ROLE_CLIENT, listener->number);
    if (index == NOBODY) {
        close(fd);
        return;
    }
    struct net_event event = { .kind = NET_ACCEPTED, .role = ROLE_CLIENT, .conn = index, .owner = listener->number };
    net_record(net, &event, net->conns[index].generation, -1);
    conn_resume(net, index);
}

/* The kernel accepts no more on it: what is left in its queue is taken, and that was all. The socket may be shared with a process that takes
 * from the same queue, so that one which was seen can be gone: waiting for it is bounded. */
static void drain(struct net *net, struct listener *listener)
{
    struct timeval brief = { .tv_usec = 1000 }, never = { 0 };
    struct pollfd queue = { .fd = listener->fd, .events = POLLIN };
    setsockopt(listener->fd, SOL_SOCKET, SO_RCVTIMEO, &brief, sizeof brief);
    for (int i = 0; i < DRAIN_MAX && poll(&queue, 1, 0) > 0; i++) {
        int fd = accept4(listener->fd, NULL, NULL, net->engine->socket_flags);
        if (fd < 0)
            break;
        accept_one(net, listener, fd);
    }
    setsockopt(listener->fd, SOL_SOCKET, SO_RCVTIMEO, &never, sizeof never);
    close(listener->fd);
    listener->ending = false;
}

void net_listen_end(struct net *net, uint32_t number)
{
    for (uint32_t i = 0; i < net->listener_room; i++) {
        struct listener *listener = &net->listeners[i];
        if (!listener->wanted || listener->number != number)
            continue;
        listener->ending = true;
        stop(net, listener);
        if (!listener->armed)
            drain(net, listener);
    }
}

int net_is_ending(const struct net *net)
{
    for (uint32_t i = 0; i < net->listener_room; i++)
        if (net->listeners[i].ending)
            return 1;
    return 0;
}

void listen_accepted(struct net *net, uint32_t index, uint32_t generation, int32_t result, bool more)
{
    struct listener *listener = &net->listeners[index];
    bool current = listener->generation == generation;
    if (result >= 0) {
        if (current && spare_get(net)) {
            accept_one(net, listener, result);
        } else {
            close(result);
            spare_get(net);
        }
    }
    if (more || !current)
        return;
    listener->armed = false;
    if (listener->ending)
        drain(net, listener);
    if (!listener->wanted || net->accept_paused)
        return;
    if (result == -EMFILE && spare_give_up(net)) {
        net->engine->accept(net, index);
    } else if (result == -EMFILE || result == -ENFILE || result == -ENOBUFS || result == -ENOMEM) {
        net->accept_again = net->tick + ACCEPT_RETRY_MS;
    } else if (result == -EBADF || result == -EINVAL || result == -ENOTSOCK) {
        listener->wanted = false; /* not a listening socket (any more): asking again would spin */
    } else {
        net->engine->accept(net, index);
    }
}

int net_watch(struct net *net, int fd, uint32_t user)
{
    for (uint32_t i = 0; i < WATCHES_MAX; i++) {
        struct watch *watch = &net->watches[i];
        if (watch->wanted || watch->armed)
            continue;
        watch->fd = fd;
        watch->user = user;
        watch->wanted = true;
        watch->generation = (watch->generation + 1) & GENERATION_MASK;
        net->engine->watch(net, i);
        return 0;
    }
    return -ENOSPC;
}

void net_unwatch(struct net *net, uint32_t user)
{
    for (uint32_t i = 0; i < WATCHES_MAX; i++) {
        struct watch *watch = &net->watches[i];
        if (!watch->wanted || watch->user != user)
            continue;
        watch->wanted = false;
        if (watch->armed)
            net->engine->watch_stop(net, i);
    }
}

void watch_ready(struct net *net, uint32_t index, uint32_t generation, int32_t result, bool more)
{
    struct watch *watch = &net->watches[index];
    if (watch->generation != generation)
        return;
    if (watch->wanted) {
        struct net_event event = { .kind = NET_READY, .user = watch->user, .result = result };
        net_record(net, &event, 0, -1);
    }
    if (more)
        return;
    watch->armed = false;
    if (watch->wanted && result > 0)
        net->engine->watch(net, index);
    else
        watch->wanted = false;
}
