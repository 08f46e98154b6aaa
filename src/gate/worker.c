/* The worker's turn: what Lua gets when it asks for the next thing to do. And its birth, its bounds, its death. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/must.h"
#include "gate/gate.h"
#include "gate/heart.h"
#include "gate/overdue.h"
#include "gate/side.h"

enum { WAKES_FIRST = 1024, CONNECTIONS_MAX = 1000000, REQUESTS_MAX = 65536 /* as settings.tbl.h bounds them */ };

/* ---- birth and death ---- */

struct mg_worker *worker_new(const struct worker_options *options)
{
    struct mg_worker *w = calloc(1, sizeof *w);
    must(w != NULL);
    w->border.current = -1;
    w->border.worker = options->number;
    w->border.first = options->first;
    w->border.debug = options->debug;
    w->talk.fd = options->control;
    must(talk_doors(w, options->listeners, options->listener_numbers, options->listener_count) == 0);
    w->generation = options->generation;
    w->stats = options->stats;
    w->shared = options->shared;
    w->entry = options->entry;
    w->changes = options->changes;
    w->all_stats = options->all_stats;
    w->stats_each = options->stats_each;
    w->stats_count = options->stats_count;
    w->closed = options->closed;
    w->closed_count = options->closed_count;
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

static int refuse_to_serve(struct mg_worker *w, int error, const char *message)
{
    static char text[512];
    snprintf(text, sizeof text, "%s", message);
    w->border.text = text;
    w->border.text_bytes = (uint32_t)strlen(text);
    return error;
}

static struct net_options net_options_of(const struct mg_worker *w)
{
    return (struct net_options){
        .connections = (uint32_t)w->settings.connections,
        .buffer_bytes = (uint32_t)w->settings.buffer_bytes,
        .stall_ms = (uint32_t)w->settings.write_ms,
    };
}

static int stores_init(struct mg_worker *w)
{
    w->client_room = net_conn_room(w->net);
    w->connections_most = (uint32_t)w->settings.connections;
    w->request_room = w->request_most = (uint32_t)w->settings.requests;
    int error = reserve_init(&w->client_store, w->client_room * sizeof *w->clients, net_conn_room_for(CONNECTIONS_MAX) * sizeof *w->clients);
    if (!error)
        error = reserve_init(&w->request_store, w->request_room * sizeof *w->requests, REQUESTS_MAX * sizeof *w->requests);
    w->clients = (struct client *)w->client_store.at;
    w->requests = (struct request *)w->request_store.at;
    return error;
}

/* The bounds that are kept in other rooms, as the settings are now. */
static void adapt_rooms(struct mg_worker *w)
{
    struct net_options options = net_options_of(w);
    w->limits = (struct http_head_limits){ (uint32_t)w->settings.line_bytes, (uint32_t)w->settings.head_bytes, (uint32_t)w->settings.field_count };
    w->pages.bytes_max = (uint64_t)w->settings.buffer_bytes;
    net_adapt(w->net, &options);
    side_adapt(w);
    w->stats->limits = w->settings;
    http_common_tick(&w->common, (int64_t)net_unix_time(w->net));
}

int worker_open(struct mg_worker *w, const char *engine)
{
    char message[512] = "";
    struct net_options options = net_options_of(w);
    options.engine = net_engine_named(engine);
    w->net = net_new(&options, message, sizeof message);
    if (!w->net)
        return refuse_to_serve(w, -ENOSYS, message);
    w->stats->engine = net_engine(w->net);
    if (*message && w->border.worker == 0) /* the others have the same to say */
        worker_logf(w, MG_LOG_WARN, "%s", message);
    if (stores_init(w) == 0)
        w->side = side_new(w);
    if (!w->side)
        return refuse_to_serve(w, -ENOMEM, "not enough memory for the stores of connections and requests");
    adapt_rooms(w);
    if (w->talk.fd >= 0)
        net_watch(w->net, w->talk.fd, USER_CONTROL);
    return 0;
}

/* Grows the stores in place, as far as there is memory; the settings say afterwards what holds. */
static const char *grow_stores(struct mg_worker *w)
{
    const char *short_of = NULL;
    uint32_t connections = (uint32_t)w->settings.connections, requests = (uint32_t)w->settings.requests;
    if (reserve_grow(&w->client_store, net_conn_room_for(connections) * sizeof *w->clients) < 0 || net_grow(w->net, connections) < 0) {
        w->settings.connections = w->connections_most;
        short_of = "limits.connections";
    } else if (connections > w->connections_most) {
        w->connections_most = connections;
    }
    w->client_room = net_conn_room(w->net);
    if (requests > w->request_room && reserve_grow(&w->request_store, requests * sizeof *w->requests) == 0)
        w->request_room = requests;
    if (requests > w->request_room) {
        w->settings.requests = w->request_room;
        short_of = "limits.requests";
    }
    w->request_most = (uint32_t)w->settings.requests;
    return short_of;
}

const char *worker_adapt(struct mg_worker *w)
{
    const char *short_of = grow_stores(w);
    adapt_rooms(w);
    heart_forget(w);
    return short_of;
}

int worker_serve(struct mg_worker *w)
{
    int error = talk_accept_all(w);
    if (!error)
        worker_ready(w, w->generation);
    return error;
}

void worker_ready(struct mg_worker *w, uint32_t generation)
{
    w->generation = w->stats->generation = generation;
    talk_close_routes(w);
    talk_say(w, CONTROL_READY, generation, "", 0);
}

void worker_use_routes(struct mg_worker *w, struct routes *routes)
{
    for (uint32_t i = 0; !w->routes && i < w->closed_count; i++) /* those of the generation it is born with */
        routes_close(routes, w->closed[i]);
    w->routes = routes;
    heart_forget(w);
}

void worker_retire_routes(struct mg_worker *w, struct routes *routes)
{
    must(routes != w->routes);
    routes->retired = true;
    if (routes->requests == 0)
        worker_announce(w, MG_CONTROL_RETIRED, routes->number, (struct slice){ 0 }, -1);
}

void worker_free(struct mg_worker *w)
{
    sinks_settle(w);
    if (w->side)
        side_stop(w->side);
    net_free(w->net);
    if (w->side)
        side_free(w, w->side);
    sink_finish(&w->access);
    sink_finish(&w->errors);
    for (uint32_t i = 0; i < w->client_room && w->clients; i++)
        if (w->clients[i].kept)
            kept_drop(w, &w->clients[i].kept);
    routes_free(w->routes);
    reserve_fini(&w->client_store);
    reserve_fini(&w->request_store);
    talk_fini(&w->talk);
    for (; w->wake_count > 0; w->wake_count--, w->wake_first++) {
        struct wake *wake = &w->wakes[w->wake_first & (w->wake_room - 1)];
        if (wake->own)
            free((char *)wake->text);
    }
    free(w->told);
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
    free(w->told); /* the text of the event before */
    w->told = wake.own ? (char *)wake.text : NULL;
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

void worker_announce(struct mg_worker *w, enum mg_control what, double argument, struct slice text, int fd)
{
    char *copy = text.bytes ? strndup(text.at, text.bytes) : NULL;
    push_wake(w, (struct wake){ .event = MG_EVENT_CONTROL, .result = what, .token = argument, .slot = (uint32_t)fd, .text = copy, .own = true });
}

void worker_end(struct mg_worker *w, const char *message, uint32_t bytes)
{
    if (bytes > 0) {
        talk_say(w, CONTROL_FAILED, w->generation, message, bytes);
        w->exit_code = 1;
    } else {
        talk_say(w, CONTROL_ENDED, 0, "", 0);
    }
    w->ended = true;
}

/* ---- the turn ---- */

static void own_event(struct mg_worker *w, const struct net_event *event)
{
    if (event->kind == NET_TIMER && event->user == USER_LUA)
        worker_wake(w, event->token, 0);
    else if (event->kind == NET_TIMER && event->user == USER_OVERDUE)
        overdue_look(w);
    else if (event->kind == NET_TIMER && event->user == USER_BUDGET)
        budget_on_timer(w);
    else if (event->kind == NET_TIMER && event->user == USER_DRAIN)
        talk_stop(w);
    else if (event->kind == NET_TIMER && event->user == USER_LINGER)
        w->waited = true; /* long enough for the last bytes */
    else if (event->kind == NET_READY && event->user == USER_CONTROL)
        talk_hear(w);
    else if (event->kind == NET_TIMER && event->user == USER_SAY)
        w->talk.again = false; /* the next turn tries */
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
    stats->timers_most = facts.timers_most;
    stats->out_bytes = facts.out_bytes;
    stats->kept_bytes = w->kept_bytes;
    budget_publish(w);
}

static bool take_turn(struct mg_worker *w, int wait)
{
    sink_flush_all(w);
    if (w->talk.said_first)
        talk_flush(w);
    publish_stats(w);
    w->stats->busy = 0;
    int error = net_turn(w->net, wait);
    if (error) {
        char text[128];
        int bytes = snprintf(text, sizeof text, "%s: waiting for events: %s", net_engine_name(net_engine(w->net)), strerror(-error));
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
    if (w->draining && !w->drained_told && ((w->client_count == 0 && !net_is_ending(w->net)) || w->waited)) {
        w->drained_told = true;
        worker_announce(w, MG_CONTROL_STOP, 1, (struct slice){ 0 }, -1);
    }
}

/* A request for Lua; false: its route is closed, Lua only answers that. */
static bool deliver(struct mg_worker *w, uint32_t slot)
{
    struct request *r = &w->requests[slot];
    r->entry = r->pub.match.route;
    if (routes_is_closed(r->routes, r->entry)) {
        worker_fail(w, r, 503, routes_closed_text);
        return false;
    }
    heart_beat(w, r);
    return true;
}

int32_t worker_next(struct mg_worker *w)
{
    struct net_event event;
    for (bool looked = false;;) {
        if (w->ended)
            return -2;
        if (w->in.conn != NONE) {
            int32_t slot = client_parse(w);
            if (slot >= 0 && deliver(w, (uint32_t)slot))
                return slot;
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
        if (w->wake_count > 0)
            continue;
        if (looked && w->border.hurried)
            return -1; /* without an event */
        if (!take_turn(w, !w->border.hurried))
            return -2;
        looked = true;
    }
}
