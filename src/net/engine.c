/* The turn: send what is queued, sleep until something is due, record what completed. And the small stores: timers, file operations. */
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

struct net *net_new(const struct net_options *options, char *ret_message, uint32_t message_bytes)
{
    struct net *net = calloc(1, sizeof *net);
    snprintf(ret_message, message_bytes, "%s", net ? "" : "not enough memory for the engine");
    if (!net)
        return NULL;
    net->spare_fd = -1;
    net->options = *options;
    if (!net->options.timers || net->options.timers > 1u << TIMER_INDEX_BITS)
        net->options.timers = 1u << TIMER_INDEX_BITS;
    net->ring.ring_fd = -1;
    int error = uring_open(net, ret_message, message_bytes);
    if (!error)
        error = stores_init(net);
    if (!error)
        error = lent_init(net);
    if (error) {
        if (!*ret_message)
            snprintf(ret_message, message_bytes, "io_uring: setting up buffers: %s", strerror(-error));
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
    if (net->ring.ring_fd >= 0)
        io_uring_queue_exit(&net->ring); /* the kernel gives up what it holds before this returns, or soon after */
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
    free(net->scratch);
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

/* ---- completions ---- */

static void file_done(struct net *net, uint32_t index, uint32_t generation, int32_t result)
{
    struct file_op *op = &net->files[index];
    must(op->busy && op->generation == generation);
    struct net_event event = { .kind = NET_DONE, .user = op->user, .token = op->token, .result = result };
    op->busy = false;
    op->generation = (op->generation + 1) & GENERATION_MASK;
    op->next = net->file_free;
    net->file_free = index;
    net_record(net, &event, 0, -1);
}

static void complete(struct net *net, const struct io_uring_cqe *cqe)
{
    uint32_t slot = (uint32_t)cqe->user_data;
    uint32_t generation = (uint32_t)(cqe->user_data >> 32) & GENERATION_MASK;
    switch ((enum op)(cqe->user_data >> 56)) {
    case OP_RECEIVE:
        conn_received(net, slot, generation, cqe->res, cqe->flags);
        break;
    case OP_SEND:
        conn_sent(net, slot, generation, cqe->res);
        break;
    case OP_ACCEPT:
        listen_accepted(net, slot, generation, cqe->res, cqe->flags);
        break;
    case OP_CONNECT:
        conn_connected(net, slot, generation, cqe->res);
        break;
    case OP_FILE:
        file_done(net, slot, generation, cqe->res);
        break;
    case OP_WATCH:
        watch_ready(net, slot, generation, cqe->res, cqe->flags);
        break;
    case OP_NONE:
        break;
    }
}

/* What was read is given back late, see uring_enter(). */
static void reap(struct net *net)
{
    struct io_uring_cq *cq = &net->ring.cq;
    uint32_t from = *cq->khead, at = from + net->held;
    for (; at != io_uring_smp_load_acquire(cq->ktail); at++)
        complete(net, &cq->cqes[at & *cq->kring_mask]);
    net->held = at - from < HELD_MAX ? at - from : HELD_MAX;
    io_uring_cq_advance(&net->ring, at - from - net->held);
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
    if (!wait || net->record_count > 0 || net->starved_first != NOBODY || net->dirty_first != NOBODY || io_uring_cq_ready(&net->ring) > net->held)
        return uring_enter(net, 0, 0);
    int64_t ms = sleep_ms(net);
    return uring_enter(net, ms == 0 ? 0 : 1, ms);
}

int net_turn(struct net *net, int wait)
{
    listen_update(net);
    lent_refill(net);
    conn_feed_starved(net);
    conn_flush_dirty(net);
    int error = enter(net, wait);
    if (error)
        return error;
    read_clocks(net);
    uint64_t starved = net->facts.no_buffers;
    reap(net);
    if (net->facts.no_buffers > starved && net->lent.target < net->lent.entries) {
        net->lent.target *= 2;
        net->lent.quiet = 0;
    }
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

/* ---- files ---- */

static int file_op(struct net *net, uint32_t user, double token, uint64_t *ret_tag)
{
    uint32_t index = net->file_free;
    if (index != NOBODY)
        net->file_free = net->files[index].next;
    else if (net->file_top < net->file_room)
        index = net->file_top++;
    else
        return -ENOBUFS;
    struct file_op *op = &net->files[index];
    op->user = user;
    op->token = token;
    op->busy = true;
    *ret_tag = uring_tag(OP_FILE, op->generation, index);
    return 0;
}

int net_read(struct net *net, int fd, char *buffer, uint32_t bytes, uint64_t offset, uint32_t user, double token)
{
    uint64_t tag;
    int error = file_op(net, user, token, &tag);
    if (!error)
        io_uring_prep_read(uring_sqe(net, tag, 0, NULL), fd, buffer, bytes, offset);
    return error;
}

int net_write(struct net *net, int fd, const char *buffer, uint32_t bytes, uint64_t offset, uint32_t user, double token)
{
    uint64_t tag;
    int error = file_op(net, user, token, &tag);
    if (!error)
        io_uring_prep_write(uring_sqe(net, tag, 0, NULL), fd, buffer, bytes, offset);
    return error;
}

int net_open(struct net *net, int folder, const char *path, uint64_t flags, uint64_t resolve, uint32_t user, double token)
{
    uint64_t tag;
    size_t path_bytes = strlen(path) + 1;
    int error = file_op(net, user, token, &tag);
    if (error)
        return error;
    void *memory;
    struct io_uring_sqe *sqe = uring_sqe(net, tag, (uint32_t)(sizeof(struct open_how) + path_bytes), &memory);
    struct open_how *how = memory;
    *how = (struct open_how){ .flags = flags, .resolve = resolve };
    io_uring_prep_openat2(sqe, folder, memcpy(how + 1, path, path_bytes), how);
    return 0;
}

/* ---- facts ---- */

void net_facts(const struct net *net, struct net_facts *ret_facts)
{
    *ret_facts = net->facts;
    ret_facts->connections = net->conn_count;
    ret_facts->timers = net->timer_count;
    ret_facts->timers_most = net->timer_room;
    ret_facts->lent_free = net->lent.in_ring;
    ret_facts->out_bytes = (uint32_t)net->block_bytes;
    ret_facts->overflows = *net->ring.cq.koverflow;
    ret_facts->paused = net->accept_paused;
}
