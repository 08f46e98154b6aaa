/* The turn: send what is queued, sleep until something is due, record what completed. And the store of timers. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "base/must.h"
#include "net/direct.h"
#include "net/engine.h"

enum { RECORDS_FIRST = 4096, FILE_OPS_MAX = 4096, CONN_SLACK = 1024, CONN_ROOM_MAX = 1 << 21, TIMER_INDEX_BITS = 20 };

static void *store_new(size_t count, size_t each)
{
    void *at = mmap(NULL, count * each, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return at == MAP_FAILED ? NULL : at;
}

/* ---- time ---- */

static double clock_ms(clockid_t clock)
{
    struct timespec ts;
    clock_gettime(clock, &ts);
    return (double)ts.tv_sec * 1e3 + (double)ts.tv_nsec / 1e6;
}

static void read_clocks(struct net *net)
{
    net->now_ms = clock_ms(CLOCK_MONOTONIC);
    net->tick = (uint64_t)net->now_ms;
}

double net_now_ms(const struct net *net)
{
    return net->now_ms;
}

double net_unix_time(const struct net *net)
{
    (void)net;
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME_COARSE, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* ---- birth and death ---- */

/* Upstreams, and clients that were on their way when accepting paused. */
uint32_t net_conn_room_for(uint32_t connections)
{
    return connections * 2 + CONN_SLACK;
}

int net_grow(struct net *net, uint32_t connections)
{
    uint32_t room = net_conn_room_for(connections);
    if (room <= net->conn_room)
        return 0;
    int error = reserve_grow(&net->conn_store, room * sizeof *net->conns);
    if (!error)
        net->conn_room = room;
    return error;
}

void net_adapt(struct net *net, const struct net_options *options)
{
    must(net_conn_room_for(options->connections) <= net->conn_room);
    net->options.connections = options->connections;
    net->options.buffer_bytes = options->buffer_bytes;
    net->options.stall_ms = options->stall_ms;
}

static int stores_init(struct net *net)
{
    net->conn_room = net_conn_room_for(net->options.connections);
    net->timer_room = net->options.timers;
    net->file_room = FILE_OPS_MAX;
    net->record_room = RECORDS_FIRST;
    if (reserve_init(&net->conn_store, net->conn_room * sizeof *net->conns, CONN_ROOM_MAX * sizeof *net->conns) < 0)
        return -ENOMEM;
    net->conns = (struct conn *)net->conn_store.at;
    net->timers = store_new(net->timer_room, sizeof *net->timers);
    net->files = store_new(net->file_room, sizeof *net->files);
    net->records = malloc(net->record_room * sizeof *net->records);
    net->conn_free = net->timer_free = net->file_free = NOBODY;
    net->dirty_first = net->dirty_last = net->starved_first = net->starved_last = NOBODY;
    net->lent_now = -1;
    return net->timers && net->files && net->records ? 0 : -ENOMEM;
}

struct net *engine_new(const struct engine *engine, const struct net_options *options, char *ret_message, uint32_t message_bytes)
{
    struct net *net = calloc(1, engine->bytes);
    snprintf(ret_message, message_bytes, "%s", net ? "" : "not enough memory for the engine");
    if (!net)
        return NULL;
    net->engine = engine;
    net->spare_fd = -1;
    net->options = *options;
    if (!net->options.timers || net->options.timers > 1u << TIMER_INDEX_BITS)
        net->options.timers = 1u << TIMER_INDEX_BITS;
    int error = engine->open(net, ret_message, message_bytes);
    if (!error)
        error = stores_init(net);
    if (!error)
        error = lent_init(net);
    if (!error)
        error = engine->start(net);
    if (error) {
        if (!*ret_message)
            snprintf(ret_message, message_bytes, "%s: setting up buffers: %s", engine->name, strerror(-error));
        net_free(net);
        return NULL;
    }
    net->spare_fd = eventfd(0, EFD_CLOEXEC);
    read_clocks(net);
    wheel_init(&net->wheel, net->tick);
    return net;
}

void net_free(struct net *net)
{
    if (!net)
        return;
    net->engine->close(net);
    for (uint32_t i = 0; net->conns && i < net->conn_top; i++) {
        queue_free(net, &net->conns[i].out);
        if (net->conns[i].state != CONN_FREE && net->conns[i].fd >= 0)
            close(net->conns[i].fd);
    }
    if (net->spare_fd >= 0)
        close(net->spare_fd);
    direct_close(net);
    reserve_fini(&net->conn_store);
    for (uint32_t i = 0; i < net->listener_room; i++)
        if (net->listeners[i].ending)
            close(net->listeners[i].fd);
    free(net->listeners);
    if (net->timers)
        munmap(net->timers, net->timer_room * sizeof *net->timers);
    if (net->files)
        munmap(net->files, net->file_room * sizeof *net->files);
    blocks_free(net);
    lent_fini(net);
    free(net->records);
    free(net);
}

/* ---- events ---- */

static void records_grow(struct net *net)
{
    uint32_t room = net->record_room * 2;
    struct record *records = malloc(room * sizeof *records);
    must(records != NULL);
    for (uint32_t i = 0; i < net->record_count; i++)
        records[i] = net->records[(net->record_first + i) & (net->record_room - 1)];
    free(net->records);
    net->records = records;
    net->record_room = room;
    net->record_first = 0;
}

void net_record(struct net *net, const struct net_event *event, uint32_t generation, int32_t buffer)
{
    if (net->record_count == net->record_room)
        records_grow(net);
    struct record *record = &net->records[(net->record_first + net->record_count++) & (net->record_room - 1)];
    record->event = *event;
    record->generation = generation;
    record->buffer = buffer;
}

static bool is_of_connection(const struct net_event *event)
{
    return event->kind >= NET_ACCEPTED && event->kind <= NET_CLOSED;
}

/* An event recorded before its connection was closed, or its timer stopped, is not told any more; NET_CLOSED always is. */
static bool is_stale(const struct net *net, const struct record *record)
{
    if (record->event.kind == NET_TIMER)
        return net->timers[record->event.conn].generation != record->generation;
    if (!is_of_connection(&record->event))
        return false;
    const struct conn *conn = &net->conns[record->event.conn];
    if (conn->generation != record->generation)
        return true;
    return record->event.kind != NET_CLOSED && conn->state != CONN_OPEN && conn->state != CONN_CONNECTING;
}

static void timer_free(struct net *net, uint32_t index)
{
    struct timer *timer = &net->timers[index];
    timer->generation++;
    timer->next = net->timer_free;
    net->timer_free = index;
    net->timer_count--;
}

int net_event_next(struct net *net, struct net_event *ret_event)
{
    if (net->lent_now >= 0) {
        lent_return(net, (uint32_t)net->lent_now);
        net->lent_now = -1;
    }
    while (net->record_count > 0) {
        struct record *record = &net->records[net->record_first];
        net->record_first = (net->record_first + 1) & (net->record_room - 1);
        net->record_count--;
        if (is_stale(net, record)) {
            if (record->buffer >= 0)
                lent_return(net, (uint32_t)record->buffer);
            continue;
        }
        *ret_event = record->event;
        net->lent_now = record->buffer;
        if (is_of_connection(ret_event))
            ret_event->owner = net->conns[ret_event->conn].owner;
        if (ret_event->kind == NET_CLOSED)
            conn_release(net, ret_event->conn);
        else if (ret_event->kind == NET_TIMER)
            timer_free(net, ret_event->conn);
        return 1;
    }
    return 0;
}

static void fire_timers(struct net *net)
{
    wheel_advance(&net->wheel, net->tick);
    struct wheel_node *node;
    const char *conns = (const char *)net->conns, *conns_end = (const char *)(net->conns + net->conn_room);
    while ((node = wheel_expired(&net->wheel))) {
        if ((const char *)node >= conns && (const char *)node < conns_end) {
            conn_timer_fired(net, (struct conn *)node);
            continue;
        }
        struct timer *timer = (struct timer *)node; /* its slot is freed when the event is told, so that it can still be stopped */
        struct net_event event = { .kind = NET_TIMER, .user = timer->user, .token = timer->token, .conn = (uint32_t)(timer - net->timers) };
        net_record(net, &event, timer->generation, -1);
    }
}

/* How long to sleep: until the wheel's next stop, a retry of accepting, or for ever (-1). */
static int64_t sleep_ms(const struct net *net)
{
    uint64_t next = wheel_next(&net->wheel);
    if (net->accept_again) {
        uint64_t left = net->accept_again > net->tick ? net->accept_again - net->tick : 0;
        next = left < next ? left : next;
    }
    if (next == UINT64_MAX)
        return -1;
    if (next == 0)
        return 0;
    double passed = clock_ms(CLOCK_MONOTONIC) - (double)net->tick; /* work since the clock was read, and its fraction */
    double left = (double)next - passed;
    return left <= 0 ? 0 : (int64_t)ceil(left);
}

/* One call submits, waits for one completion and runs what is due. */
static int enter(struct net *net, int wait)
{
    if (!wait || net->record_count > 0 || net->starved_first != NOBODY || net->dirty_first != NOBODY)
        return net->engine->enter(net, 0, 0);
    return net->engine->enter(net, 1, sleep_ms(net));
}

int net_turn(struct net *net, int wait)
{
    listen_update(net);
    net->engine->refill(net);
    conn_feed_starved(net);
    conn_flush_dirty(net);
    int error = enter(net, wait);
    if (error)
        return error;
    read_clocks(net);
    uint64_t starved = net->facts.no_buffers;
    net->engine->reap(net);
    lent_aim(net, net->facts.no_buffers > starved);
    fire_timers(net);
    net->facts.turns++;
    return 0;
}

/* ---- timers: handle = generation << 20 | index ---- */

int32_t net_timer_start(struct net *net, double ms, uint32_t user, double token)
{
    uint32_t index = net->timer_free;
    if (index != NOBODY)
        net->timer_free = net->timers[index].next;
    else if (net->timer_top < net->timer_room)
        index = net->timer_top++;
    else
        return -ENOBUFS;
    struct timer *timer = &net->timers[index];
    timer->user = user;
    timer->token = token;
    if (!(ms > 0))
        ms = 0;
    if (ms > 1e12)
        ms = 1e12;
    wheel_insert(&net->wheel, &timer->node, ms == 0 ? net->tick : (uint64_t)ceil(clock_ms(CLOCK_MONOTONIC) + ms));
    net->timer_count++;
    return (int32_t)((timer->generation & 0x7ff) << TIMER_INDEX_BITS | index);
}

void net_timer_stop(struct net *net, int32_t handle)
{
    uint32_t index = (uint32_t)handle & ((1u << TIMER_INDEX_BITS) - 1);
    if (handle < 0 || index >= net->timer_top)
        return;
    struct timer *timer = &net->timers[index];
    if ((timer->generation & 0x7ff) != (uint32_t)handle >> TIMER_INDEX_BITS)
        return;
    wheel_remove(&net->wheel, &timer->node);
    timer_free(net, index);
}

/* ---- facts ---- */

void net_facts(const struct net *net, struct net_facts *ret_facts)
{
    *ret_facts = net->facts;
    ret_facts->connections = net->conn_count;
    ret_facts->timers = net->timer_count;
    ret_facts->timers_most = net->timer_room;
    ret_facts->file_ops = net->file_count;
    ret_facts->file_ops_most = net->file_room;
    ret_facts->lent_free = net->lent.ready;
    ret_facts->out_bytes = (uint32_t)net->block_bytes;
    ret_facts->overflows = net->engine->overflows(net);
    ret_facts->paused = net->accept_paused;
}
