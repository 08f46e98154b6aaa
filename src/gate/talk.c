/* The conversation with the master: what it says becomes events for Lua or is done here; what the worker says waits while the socket is
 * full, in order and bounded. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "gate/gate.h"

enum { AGAIN_MS = 2, STOP_FLUSH_MS = 500 /* leaves half of what the master grants to the stop hooks */, ORPHAN_MS = 5000 };

struct said {
    struct said *next;
    struct control_message message;
};

/* ---- to the master ---- */

static bool sent(struct mg_worker *w, const struct control_message *message)
{
    ssize_t bytes = send(w->talk.fd, message, sizeof *message, MSG_NOSIGNAL | MSG_DONTWAIT);
    return bytes >= 0 || (errno != EAGAIN && errno != ENOBUFS); /* nobody is there to hear it: said is said */
}

static int said_later(struct mg_worker *w, const struct control_message *message)
{
    struct talk *talk = &w->talk;
    struct said *said = talk->said_count < SAID_MAX ? malloc(sizeof *said) : NULL;
    if (!said)
        return -ENOBUFS;
    said->next = NULL;
    said->message = *message;
    if (talk->said_last)
        talk->said_last->next = said;
    else
        talk->said_first = said;
    talk->said_last = said;
    talk->said_count++;
    return 0;
}

int talk_say(struct mg_worker *w, enum control_kind kind, double argument, const char *text, uint32_t bytes)
{
    struct control_message message = { .kind = kind, .argument = argument };
    if (bytes > sizeof message.text)
        bytes = sizeof message.text;
    message.text_bytes = bytes;
    memcpy(message.text, text, bytes);
    if (w->talk.fd < 0) {
        if (kind == CONTROL_FAILED)
            fprintf(stderr, "%.*s\n", (int)bytes, text);
        return 0;
    }
    if (!w->talk.said_first && sent(w, &message))
        return 0;
    return said_later(w, &message);
}

void talk_flush(struct mg_worker *w)
{
    struct talk *talk = &w->talk;
    while (talk->said_first && sent(w, &talk->said_first->message)) {
        struct said *said = talk->said_first;
        talk->said_first = said->next;
        if (!said->next)
            talk->said_last = NULL;
        talk->said_count--;
        free(said);
    }
    if (talk->said_first && !talk->again && net_timer_start(w->net, AGAIN_MS, USER_SAY, 0) >= 0)
        talk->again = true;
}

/* ---- sockets to accept on ---- */

static int door_add(struct talk *talk, uint32_t number, int fd)
{
    struct door *doors = realloc(talk->doors, (talk->door_count + 1) * sizeof *doors);
    if (!doors)
        return -ENOMEM;
    talk->doors = doors;
    doors[talk->door_count++] = (struct door){ .fd = fd, .number = number };
    return 0;
}

static struct door *door_of(const struct talk *talk, uint32_t number)
{
    for (uint32_t i = 0; i < talk->door_count; i++)
        if (talk->doors[i].number == number)
            return &talk->doors[i];
    return NULL;
}

/* A socket that came again stands in the place of the one that has its number, unless that is in use: they are the same. */
static void door_take(struct mg_worker *w, uint32_t number, int fd)
{
    struct door *known = door_of(&w->talk, number);
    if (known && known->open) {
        close(fd);
    } else if (known) {
        close(known->fd);
        known->fd = fd;
    } else if (door_add(&w->talk, number, fd) < 0) {
        close(fd);
    }
}

static int door_open(struct mg_worker *w, struct door *door)
{
    if (door->open || w->draining)
        return 0;
    int error = net_listen(w->net, door->fd, door->number);
    door->open = !error;
    return error;
}

int talk_doors(struct mg_worker *w, const int *fds, const uint32_t *numbers, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        int error = door_add(&w->talk, numbers ? numbers[i] : i, fds[i]);
        if (error)
            return error;
    }
    return 0;
}

int talk_accept_all(struct mg_worker *w)
{
    for (uint32_t i = 0; i < w->talk.door_count; i++) {
        int error = door_open(w, &w->talk.doors[i]);
        if (error)
            return error;
    }
    return 0;
}

/* Is the number in a text such as "0 1 5"? */
static bool names(struct slice text, uint32_t number)
{
    const char *at = text.at, *end = text.at + text.bytes;
    while (at < end) {
        uint32_t value = 0;
        bool digits = false;
        for (; at < end && *at >= '0' && *at <= '9'; at++, digits = true)
            value = value * 10 + (uint32_t)(*at - '0');
        if (digits && value == number)
            return true;
        while (at < end && (*at < '0' || *at > '9'))
            at++;
    }
    return false;
}

void talk_accept_on(struct mg_worker *w, struct slice text)
{
    struct talk *talk = &w->talk;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < talk->door_count; i++) {
        struct door door = talk->doors[i];
        if (names(text, door.number)) {
            int error = door_open(w, &door);
            if (error)
                worker_logf(w, MG_LOG_ERROR, "listening socket %u: %s", door.number, strerror(-error));
        } else if (door.open) {
            net_listen_end(w->net, door.number);
            continue;
        } else {
            close(door.fd);
            continue;
        }
        talk->doors[kept++] = door;
    }
    talk->door_count = kept;
}

/* What waits in the sockets is still taken: another process may accept on them, too, and the kernel has woken only one of us for each
 * connection. Whoever goes must not go with a wake-up that was another's. */
static void stop_accepting(struct mg_worker *w)
{
    w->draining = true;
    for (uint32_t i = 0; i < w->talk.door_count; i++) {
        const struct door *door = &w->talk.doors[i];
        if (door->open)
            net_listen_end(w->net, door->number);
        else
            close(door->fd);
    }
    w->talk.door_count = 0;
}

/* ---- from the master ---- */

static void begin_drain(struct mg_worker *w, double ms, bool patient)
{
    if (w->draining)
        return;
    stop_accepting(w);
    if (net_timer_start(w->net, ms, USER_DRAIN, 0) < 0) { /* all timers are in use: then it ends now rather than never */
        talk_stop(w);
        return;
    }
    w->patient = patient;
    client_drain_all(w);
    worker_announce(w, MG_CONTROL_DRAIN, ms, (struct slice){ 0 }, -1);
}

/* The time is over: what runs is answered 503, what streams is cut, and the connections get a moment to take it. The slots stay taken: their
 * handlers may come back, and must not answer somebody else. */
void talk_stop(struct mg_worker *w)
{
    if (w->stopping)
        return;
    w->stopping = true;
    w->patient = false;
    stop_accepting(w);
    for (uint32_t slot = 0; slot < w->request_top; slot++) {
        struct request *r = &w->requests[slot];
        if (r->state == REQUEST_RUNNING && r->pub.conn != NONE) {
            r->hold = true;
            side_abandon(w, r);
            reply_fields_clear(r);
            reply_refuse(w, r, 503, "the gateway is stopping");
        } else if (r->state == REQUEST_STREAMING) {
            r->hold = true;
            side_abandon(w, r);
            reply_end(w, r, true);
        }
    }
    client_drain_all(w);
    net_timer_start(w->net, STOP_FLUSH_MS, USER_LINGER, 0);
    worker_announce(w, MG_CONTROL_STOP, 0, (struct slice){ 0 }, -1);
}

/* Digits as a number; what else stands there ends it. */
static uint32_t number_of(struct slice text)
{
    uint32_t value = 0;
    for (uint32_t i = 0; i < text.bytes && text.at[i] >= '0' && text.at[i] <= '9'; i++)
        value = value * 10 + (uint32_t)(text.at[i] - '0');
    return value;
}

/* The generation may be one that this worker is starting with, or is about to serve: the order is kept until then. */
static void close_route(struct mg_worker *w, uint32_t route, uint32_t generation)
{
    struct talk *talk = &w->talk;
    if (generation < w->stats->generation) /* 0: it serves none yet */
        return;
    if (generation == w->stats->generation)
        routes_close(w->routes, route);
    else if (talk->closing_count < CLOSINGS_MAX)
        talk->closings[talk->closing_count++] = (struct closing){ .route = route, .generation = generation };
}

void talk_close_routes(struct mg_worker *w)
{
    struct talk *talk = &w->talk;
    uint32_t count = talk->closing_count;
    talk->closing_count = 0;
    for (uint32_t i = 0; i < count; i++)
        close_route(w, talk->closings[i].route, talk->closings[i].generation);
}

/* `fd` -1: none came along. */
static void obey(struct mg_worker *w, const struct control_message *message, int fd)
{
    struct slice text = { message->text, message->text_bytes < sizeof message->text ? message->text_bytes : (uint32_t)sizeof message->text };
    int taken = -1;
    switch ((enum control_kind)message->kind) {
    case CONTROL_DRAIN:
        begin_drain(w, message->argument, text.bytes == 7 && memcmp(text.at, "patient", 7) == 0);
        break;
    case CONTROL_STOP:
        talk_stop(w);
        break;
    case CONTROL_REOPEN:
        taken = fd;
        if (fd >= 0)
            sink_open(text.bytes == 6 && memcmp(text.at, "access", 6) == 0 ? &w->access : &w->errors, fd);
        break;
    case CONTROL_LISTEN:
        taken = fd;
        if (fd >= 0)
            door_take(w, (uint32_t)message->argument, fd);
        break;
    case CONTROL_LOOK:
        net_listen_look(w->net);
        break;
    case CONTROL_PREPARE:
        taken = fd;
        worker_announce(w, MG_CONTROL_PREPARE, message->argument, text, fd);
        break;
    case CONTROL_COMMIT:
        worker_announce(w, MG_CONTROL_COMMIT, message->argument, text, -1);
        break;
    case CONTROL_ABANDON:
        worker_announce(w, MG_CONTROL_ABANDON, message->argument, text, -1);
        break;
    case CONTROL_CLOSE:
        close_route(w, (uint32_t)message->argument, number_of(text));
        break;
    case CONTROL_CHANGE:
        side_upstream_change(w, text, true); /* it was judged where it was made */
        break;
    case CONTROL_ASK:
        worker_announce(w, MG_CONTROL_ASK, message->argument, text, -1);
        break;
    default:
        break;
    }
    if (fd >= 0 && taken < 0)
        close(fd);
}

static int descriptor_of(struct msghdr *header)
{
    struct cmsghdr *part = CMSG_FIRSTHDR(header);
    int fd = -1;
    if (part && part->cmsg_type == SCM_RIGHTS)
        memcpy(&fd, CMSG_DATA(part), sizeof fd);
    return fd;
}

void talk_hear(struct mg_worker *w)
{
    for (;;) {
        struct control_message message;
        char space[CMSG_SPACE(sizeof(int))];
        struct iovec piece = { &message, sizeof message };
        struct msghdr header = { .msg_iov = &piece, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof space };
        ssize_t bytes = recvmsg(w->talk.fd, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
        if (bytes == (ssize_t)sizeof message) {
            obey(w, &message, descriptor_of(&header));
            continue;
        }
        if (bytes == 0 || (bytes < 0 && errno != EAGAIN && errno != EINTR)) { /* the master is dead: finish what runs */
            net_unwatch(w->net, USER_CONTROL);
            begin_drain(w, ORPHAN_MS, false);
        }
        return;
    }
}

void talk_fini(struct talk *talk)
{
    while (talk->said_first) {
        struct said *said = talk->said_first;
        talk->said_first = said->next;
        free(said);
    }
    free(talk->doors);
}
