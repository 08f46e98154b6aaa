/* The worker's turn: what Lua gets when it asks for the next thing to do, and the conversation with the master. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/must.h"
#include "gate/gate.h"

enum { WAKES_FIRST = 1024, STOP_FLUSH_MS = 500 /* leaves half of what the master grants to the stop hooks */ };

/* ---- birth and death ---- */

static void say(struct mg_worker *w, enum control_kind kind, double argument, const char *text, uint32_t bytes)
{
    struct control_message message = { .kind = kind, .argument = argument };
    if (bytes > sizeof message.text)
        bytes = sizeof message.text;
    message.text_bytes = bytes;
    memcpy(message.text, text, bytes);
    if (w->control >= 0)
        (void)!send(w->control, &message, sizeof message, MSG_NOSIGNAL | MSG_DONTWAIT);
    else if (kind == CONTROL_FAILED)
        fprintf(stderr, "%.*s\n", (int)bytes, text);
}

struct mg_worker *worker_new(const struct worker_options *options)
{
    struct mg_worker *w = calloc(1, sizeof *w);
    must(w != NULL);
    w->border.current = -1;
    w->border.worker = options->number;
    w->border.first = options->first;
    w->border.debug = options->debug;
    w->control = options->control;
    w->listeners = options->listeners;
    w->listener_count = options->listener_count;
    w->stats = options->stats;
    w->stats->pid = (int32_t)getpid();
    w->access.fd = w->errors.fd = -1;
    w->log_level = options->debug ? MG_LOG_DEBUG : MG_LOG_INFO;
    sink_open(&w->access, options->access_log);
    sink_open(&w->errors, options->error_log);
    w->in.conn = NONE;
    w->request_free = NONE;
    w->ready = w->hungry = (struct conn_list){ NONE, NONE };
#define X(field, key, kind, initial, least, most, prose) w->settings.field = initial;
#include "gate/settings.tbl.h"
#undef X
    http_head_select(0);
    must(http_common_init(&w->common, "moongate", 8) == 0);
    return w;
}

static void *store_new(size_t count, size_t each)
{
    void *at = mmap(NULL, count * each, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return at == MAP_FAILED ? NULL : at;
}

static int refuse_to_serve(struct mg_worker *w, int error, const char *message)
{
    static char text[512];
    snprintf(text, sizeof text, "%s", message);
    w->border.text = text;
    w->border.text_bytes = (uint32_t)strlen(text);
    return error;
}

int worker_open(struct mg_worker *w)
{
    char message[512] = "";
    struct net_options options = {
        .connections = (uint32_t)w->settings.connections,
        .buffer_bytes = (uint32_t)w->settings.buffer_bytes,
        .stall_ms = (uint32_t)w->settings.write_ms,
    };
    w->net = net_new(&options, message, sizeof message);
    if (!w->net)
        return refuse_to_serve(w, -ENOSYS, message);
    w->client_room = net_conn_room(w->net);
    w->request_room = (uint32_t)w->settings.requests;
    w->pages.bytes_max = (uint64_t)w->settings.buffer_bytes;
    w->clients = store_new(w->client_room, sizeof *w->clients);
    w->requests = store_new(w->request_room, sizeof *w->requests);
    w->side = side_new(w);
    if (!w->clients || !w->requests || !w->side)
        return refuse_to_serve(w, -ENOMEM, "not enough memory for the stores of connections and requests");
    w->limits = (struct http_head_limits){ (uint32_t)w->settings.line_bytes, (uint32_t)w->settings.head_bytes, (uint32_t)w->settings.field_count };
    http_common_tick(&w->common, (int64_t)net_unix_time(w->net));
    if (w->control >= 0)
        net_watch(w->net, w->control, USER_CONTROL);
    return 0;
}

int worker_serve(struct mg_worker *w)
{
    for (uint32_t i = 0; i < w->listener_count && !w->draining; i++) {
        int error = net_listen(w->net, w->listeners[i], i);
        if (error)
            return error;
    }
    w->stats->generation++;
    say(w, CONTROL_READY, w->stats->generation, "", 0);
    return 0;
}

static void routes_free(struct mg_worker *w)
{
    route_program_free(w->program);
    free(w->body_bytes);
    for (uint32_t i = 0; w->route_names && i < w->body_routes; i++)
        free(w->route_names[i]);
    free(w->route_names);
}

int worker_use_routes(struct mg_worker *w, const struct route_builder *builder, const double *body_bytes, uint32_t routes)
{
    struct route_program *program = route_compile(builder);
    double *limits = malloc((routes + 1) * sizeof *limits);
    char **names = calloc(routes + 1, sizeof *names);
    if (!program || !limits || !names) {
        route_program_free(program);
        free(limits);
        free(names);
        return -ENOMEM;
    }
    memcpy(limits, body_bytes, routes * sizeof *limits);
    routes_free(w);
    w->program = program;
    w->body_bytes = limits;
    w->route_names = names;
    w->body_routes = routes;
    w->stats->route = -1;
    return 0;
}

void worker_name_route(struct mg_worker *w, uint32_t number, struct slice text)
{
    if (number >= w->body_routes || w->route_names[number])
        return;
    w->route_names[number] = strndup(text.at, text.bytes);
}

void worker_free(struct mg_worker *w)
{
    sinks_settle(w);
    if (w->side)
        side_stop(w->side);
    net_free(w->net);
    if (w->side)
        side_free(w->side);
    sink_finish(&w->access);
    sink_finish(&w->errors);
    for (uint32_t i = 0; i < w->client_room && w->clients; i++)
        if (w->clients[i].kept)
            kept_drop(w, &w->clients[i]);
    if (w->clients)
        munmap(w->clients, w->client_room * sizeof *w->clients);
    if (w->requests)
        munmap(w->requests, w->request_room * sizeof *w->requests);
    routes_free(w);
    free(w->wakes);
    free(w);
}

/* ---- what Lua is told besides requests ---- */

static void push_wake(struct mg_worker *w, struct wake wake)
{
    if (w->wake_count == w->wake_room) {
        uint32_t room = w->wake_room ? w->wake_room * 2 : WAKES_FIRST;
        struct wake *wakes = malloc(room * sizeof *wakes);
        must(wakes != NULL);
        for (uint32_t i = 0; i < w->wake_count; i++)
            wakes[i] = w->wakes[(w->wake_first + i) & (w->wake_room - 1)];
        free(w->wakes);
        w->wakes = wakes;
        w->wake_room = room;
        w->wake_first = 0;
    }
    w->wakes[(w->wake_first + w->wake_count++) & (w->wake_room - 1)] = wake;
}

void worker_wake(struct mg_worker *w, double token, int32_t result)
{
    if (token != 0)
        push_wake(w, (struct wake){ .event = MG_EVENT_WAKE, .token = token, .result = result });
}

void worker_fail(struct mg_worker *w, struct request *r, int32_t status, const char *text)
{
    request_keep(w, r);
    push_wake(w, (struct wake){ .event = MG_EVENT_FAIL, .slot = r->pub.slot, .token = r->pub.generation, .result = status, .text = text });
}

static bool pop_wake(struct mg_worker *w)
{
    if (w->wake_count == 0)
        return false;
    struct wake wake = w->wakes[w->wake_first];
    w->wake_first = (w->wake_first + 1) & (w->wake_room - 1);
    w->wake_count--;
    w->border.event = wake.event;
    w->border.token = wake.token;
    w->border.argument = wake.token;
    w->border.result = wake.result;
    w->border.slot = wake.slot;
    w->border.text = wake.text;
    w->border.text_bytes = wake.text ? (uint32_t)strlen(wake.text) : 0;
    return true;
}

static void tell_control(struct mg_worker *w, enum mg_control what, double argument)
{
    push_wake(w, (struct wake){ .event = MG_EVENT_CONTROL, .result = what, .token = argument });
}

/* ---- the master ---- */

static void stop_accepting(struct mg_worker *w)
{
    w->draining = true;
    for (uint32_t i = 0; i < w->listener_count; i++)
        net_listen_stop(w->net, i);
}

static void begin_drain(struct mg_worker *w, double ms)
{
    if (w->draining)
        return;
    stop_accepting(w);
    net_timer_start(w->net, ms, USER_DRAIN, 0);
    client_drain_all(w);
    tell_control(w, MG_CONTROL_DRAIN, ms);
}

/* The time is over: what runs is answered 503, what streams is cut, and the connections get a moment to take it. The slots stay taken: their
 * handlers may come back, and must not answer somebody else. */
static void stop_now(struct mg_worker *w)
{
    if (w->stopping)
        return;
    w->stopping = true;
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
    tell_control(w, MG_CONTROL_STOP, 0);
}

static void reopen_log(struct mg_worker *w, const struct control_message *message, struct msghdr *header)
{
    struct cmsghdr *control = CMSG_FIRSTHDR(header);
    if (!control || control->cmsg_type != SCM_RIGHTS)
        return;
    int fd;
    memcpy(&fd, CMSG_DATA(control), sizeof fd);
    bool access = message->text_bytes == 6 && memcmp(message->text, "access", 6) == 0;
    sink_open(access ? &w->access : &w->errors, fd);
}

static void obey(struct mg_worker *w, const struct control_message *message, struct msghdr *header)
{
    switch ((enum control_kind)message->kind) {
    case CONTROL_DRAIN:
        begin_drain(w, message->argument);
        break;
    case CONTROL_STOP:
        stop_now(w);
        break;
    case CONTROL_REOPEN:
        reopen_log(w, message, header);
        break;
    default:
        break;
    }
}

static void hear_master(struct mg_worker *w)
{
    for (;;) {
        struct control_message message;
        char space[CMSG_SPACE(sizeof(int))];
        struct iovec piece = { &message, sizeof message };
        struct msghdr header = { .msg_iov = &piece, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof space };
        ssize_t bytes = recvmsg(w->control, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
        if (bytes == (ssize_t)sizeof message) {
            obey(w, &message, &header);
            continue;
        }
        if (bytes == 0 || (bytes < 0 && errno != EAGAIN && errno != EINTR)) { /* the master is dead: finish what runs */
            net_unwatch(w->net, USER_CONTROL);
            begin_drain(w, 5000);
        }
        return;
    }
}

void worker_end(struct mg_worker *w, const char *message, uint32_t bytes)
{
    if (bytes > 0) {
        say(w, CONTROL_FAILED, 0, message, bytes);
        w->exit_code = 1;
    } else {
        say(w, CONTROL_ENDED, 0, "", 0);
    }
    w->ended = true;
}

/* ---- the turn ---- */

static void own_event(struct mg_worker *w, const struct net_event *event)
{
    if (event->kind == NET_TIMER && event->user == USER_LUA)
        worker_wake(w, event->token, 0);
    else if (event->kind == NET_TIMER && event->user == USER_DRAIN)
        stop_now(w);
    else if (event->kind == NET_TIMER && event->user == USER_LINGER)
        w->waited = true; /* long enough for the last bytes */
    else if (event->kind == NET_READY && event->user == USER_CONTROL)
        hear_master(w);
    else if (event->kind == NET_DONE && event->user == USER_LOG_ACCESS)
        sink_written(w, &w->access, event->result);
    else if (event->kind == NET_DONE && event->user == USER_LOG_ERROR)
        sink_written(w, &w->errors, event->result);
    else if (event->kind == NET_DONE && event->user == USER_LUA)
        worker_wake(w, event->token, event->result);
    else
        side_net_event(w, event);
}

static bool is_of_client(const struct net_event *event)
{
    return event->kind >= NET_ACCEPTED && event->kind <= NET_CLOSED && event->role == ROLE_CLIENT;
}

static void publish_stats(struct mg_worker *w)
{
    struct net_facts facts;
    net_facts(w->net, &facts);
    struct mg_stats *stats = w->stats;
    stats->turn = facts.turns;
    stats->bytes_in = facts.bytes_in;
    stats->bytes_out = facts.bytes_out;
    stats->no_buffers = facts.no_buffers;
    stats->connections = w->client_count;
    stats->running = w->request_running;
    stats->timers = facts.timers;
    stats->out_bytes = facts.out_bytes;
}

static bool take_turn(struct mg_worker *w)
{
    sink_flush_all(w);
    publish_stats(w);
    w->stats->since_ms = 0;
    int error = net_turn(w->net, 1);
    if (error) {
        char text[128];
        int bytes = snprintf(text, sizeof text, "io_uring: entering the ring: %s", strerror(-error));
        worker_end(w, text, (uint32_t)bytes);
        return false;
    }
    int64_t second = (int64_t)net_unix_time(w->net);
    if (second != w->common.second)
        http_common_tick(&w->common, second);
    return true;
}

/* All connections have ended while draining: Lua runs its stop hooks. */
static void check_drained(struct mg_worker *w)
{
    if (w->draining && !w->drained_told && (w->client_count == 0 || w->waited)) {
        w->drained_told = true;
        tell_control(w, MG_CONTROL_STOP, 1);
    }
}

/* Which route runs since when: what the master tells of a worker that dies in it. */
static void heartbeat(struct mg_worker *w, uint32_t slot)
{
    struct mg_stats *stats = w->stats;
    int32_t route = w->requests[slot].pub.match.route;
    stats->since_ms = (int64_t)net_now_ms(w->net);
    if (stats->route == route)
        return;
    stats->route = route;
    const char *name = (uint32_t)route < w->body_routes ? w->route_names[route] : NULL;
    snprintf(stats->route_name, sizeof stats->route_name, "%s", name ? name : "");
}

int32_t worker_next(struct mg_worker *w)
{
    struct net_event event;
    for (;;) {
        if (w->ended)
            return -2;
        if (w->in.conn != NONE) {
            int32_t slot = client_parse(w);
            if (slot >= 0) {
                heartbeat(w, (uint32_t)slot);
                return slot;
            }
            continue;
        }
        if (pop_wake(w))
            return -1;
        if (client_next_ready(w))
            continue;
        if (net_event_next(w->net, &event)) {
            if (is_of_client(&event))
                client_event(w, &event);
            else
                own_event(w, &event);
            continue;
        }
        if (side_step(w))
            continue;
        check_drained(w);
        if (w->wake_count == 0 && !take_turn(w))
            return -2;
    }
}
