/* Keeps the workers: starts them, hears them, replaces those that die, ends them all. Every state that waits has a due time. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/must.h"
#include "gate/control.h"
#include "proc/changes.h"
#include "proc/instance.h"
#include "proc/limits.h"
#include "proc/signals.h"

enum { MESSAGES_PER_TURN = 16 };

static const uint8_t moves[WORKER_STATES] = {
#define TO(state) (1u << WORKER_##state)
    [WORKER_NONE] = TO(STARTING) | TO(RESTING),
    [WORKER_STARTING] = TO(SERVING) | TO(DRAINING) | TO(ENDING) | TO(KILLED) | TO(RESTING) | TO(NONE),
    [WORKER_SERVING] = TO(DRAINING) | TO(ENDING) | TO(KILLED) | TO(RESTING) | TO(NONE),
    [WORKER_DRAINING] = TO(ENDING) | TO(KILLED) | TO(NONE),
    [WORKER_ENDING] = TO(KILLED) | TO(RESTING) | TO(NONE) | TO(ENDING),
    [WORKER_KILLED] = TO(RESTING) | TO(NONE),
    [WORKER_RESTING] = TO(STARTING) | TO(NONE) | TO(RESTING),
#undef TO
};

/* The one door to a worker's state. `in_ms` < 0: it may stay so for ever. */
static void worker_become(const struct master *master, struct worker *worker, enum worker_state state, int64_t in_ms)
{
    must(moves[worker->state] & 1u << state);
    worker->state = state;
    worker->due_ms = in_ms < 0 ? INT64_MAX : master->now_ms + in_ms;
}

static void worker_kill(const struct master *master, struct worker *worker)
{
    worker->cut = true;
    kill(worker->pid, SIGKILL);
    worker_become(master, worker, WORKER_KILLED, proc_limits.kill_ms);
}

static void worker_hang_up(struct worker *worker)
{
    if (worker->control >= 0)
        close(worker->control);
    worker->control = -1;
}

/* The instance cannot start: the first reason is said and decides the exit code. */
static void start_failed(struct master *master, int code)
{
    if (master->state != MASTER_STARTING)
        return;
    master->state = MASTER_STOPPING;
    master->stopping_ms = master->now_ms;
    master->exit_code = code;
    supervise_stop(master, true);
}

/* Why the instance cannot start, for the one who started it: the first reason is enough. */
static void tell_user(struct master *master, const struct worker *worker, const char *why)
{
    if (!master->told)
        fprintf(stderr, "moongate: worker %u: %s\n", worker->number + 1, why);
    master->told = true;
}

/* Forks a worker's process. 0 or -errno. */
static int worker_fork(struct master *master, struct worker *worker)
{
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
        return -errno;
    pid_t parent = getpid();
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0)
        worker_main(master, worker, ends[1], parent);
    int failed = pid < 0 ? -errno : 0;
    close(ends[1]);
    if (failed) {
        close(ends[0]);
        return failed;
    }
    worker->pid = pid;
    worker->control = ends[0];
    return 0;
}

/* How long to wait before the next attempt: nothing at first, then ever longer. */
static int64_t rest_ms(struct worker *worker)
{
    uint32_t crashes = worker->crashes++;
    if (crashes == 0)
        return 0;
    int64_t ms = proc_limits.rest_first_ms << (crashes < 20 ? crashes - 1 : 19);
    return ms < proc_limits.rest_most_ms ? ms : proc_limits.rest_most_ms;
}

static void worker_start(struct master *master, struct worker *worker)
{
    worker->started_ms = master->now_ms;
    worker->ready_ms = 0;
    worker->cut = worker->failed = worker->renewed = worker->prepared = worker->committing = false;
    worker->control = -1;
    worker->preparing = 0;
    worker->glance = (struct glance){ 0 }; /* what was seen of its predecessor is not its doing */
    worker->generation = master->generation;
    worker->probe_due_ms = INT64_MAX;
    int failed = worker_fork(master, worker);
    if (!failed) {
        worker_become(master, worker, WORKER_STARTING, proc_limits.start_ms);
    } else if (master->state == MASTER_STARTING) {
        tell_user(master, worker, strerror(-failed));
        start_failed(master, EXIT_SYSTEM);
    } else {
        logs_say(&master->logs, LOG_LEVEL_ERROR, "worker %u: cannot start a process: %s", worker->number + 1, strerror(-failed));
        worker_become(master, worker, WORKER_RESTING, rest_ms(worker) + proc_limits.rest_first_ms);
    }
}

struct worker *supervise_of_slot(const struct master *master, uint32_t slot)
{
    for (uint32_t i = 0; i < master->worker_count; i++)
        if (master->workers[i].number == slot && master->workers[i].state != WORKER_NONE && !master->workers[i].leaving)
            return &master->workers[i];
    return NULL;
}

/* A place for a worker of this slot: where its predecessors were, if that is free. */
static struct worker *worker_place(struct master *master, uint32_t slot)
{
    struct worker *place = NULL;
    for (uint32_t i = 0; i < WORKERS_MAX; i++) {
        struct worker *worker = &master->workers[i];
        bool is_new = i >= master->worker_count;
        if (worker->state != WORKER_NONE || (is_new && place))
            continue;
        place = worker;
        if (worker->number == slot && !is_new)
            break;
        if (is_new)
            break;
    }
    if (!place)
        return NULL;
    uint32_t at = (uint32_t)(place - master->workers);
    master->worker_count = at < master->worker_count ? master->worker_count : at + 1;
    place->number = slot;
    place->crashes = 0;
    place->leaving = false;
    return place;
}

/* Starts the slots below `slots` that have no worker. */
static void start_missing(struct master *master, uint32_t slots)
{
    enum master_state state = master->state;
    for (uint32_t slot = 0; slot < slots && master->state == state; slot++) {
        struct worker *worker = supervise_of_slot(master, slot) ? NULL : worker_place(master, slot);
        if (worker)
            worker_start(master, worker);
    }
}

void supervise_start(struct master *master)
{
    start_missing(master, master->plan.once ? 1 : master->slots);
}

static void worker_ready(struct master *master, struct worker *worker)
{
    if (worker->state != WORKER_STARTING)
        return;
    worker_become(master, worker, WORKER_SERVING, -1);
    worker->ready_ms = master->now_ms;
    if (worker->number == 0)
        master->once_done = true;
    if (worker->restarts || master->state == MASTER_SERVING)
        logs_say(&master->logs, LOG_LEVEL_INFO, "worker %u (pid %d): serves", worker->number + 1, worker->pid);
    if (master->state == MASTER_STARTING && worker->number == 0)
        start_missing(master, master->slots);
    reload_worker_serves(master, worker);
}

static void worker_failed(struct master *master, struct worker *worker, const char *text)
{
    if (worker->failed)
        return;
    worker->failed = true;
    if (master->state == MASTER_STARTING)
        tell_user(master, worker, text);
    else if (master->state != MASTER_STOPPING)
        logs_say(&master->logs, LOG_LEVEL_ERROR, "worker %u (pid %d): cannot start: %s", worker->number + 1, worker->pid, text);
    if (worker->state == WORKER_STARTING)
        worker->due_ms = master->now_ms + proc_limits.grace_ms; /* to end by itself, which gives the exit code */
}

static void worker_said(struct master *master, struct worker *worker, struct control_message *message, uint32_t bytes)
{
    uint32_t head_bytes = sizeof *message - sizeof message->text;
    if (bytes < head_bytes)
        return;
    uint32_t text_bytes = message->text_bytes < bytes - head_bytes ? message->text_bytes : bytes - head_bytes;
    if (message->kind == CONTROL_ANSWER || message->kind == CONTROL_ANSWERED) {
        ask_hear(master, worker, message->argument, message->text, text_bytes, message->kind == CONTROL_ANSWERED);
        return;
    }
    message->text[text_bytes < sizeof message->text ? text_bytes : sizeof message->text - 1] = 0;
    switch ((enum control_kind)message->kind) {
    case CONTROL_READY:
        if (worker->state == WORKER_STARTING)
            worker_ready(master, worker);
        else
            reload_hear(master, worker, CONTROL_READY, (uint32_t)message->argument, "");
        break;
    case CONTROL_FAILED:
        if (worker->state != WORKER_SERVING)
            worker_failed(master, worker, message->text);
        else
            reload_hear(master, worker, CONTROL_FAILED, (uint32_t)message->argument, message->text);
        break;
    case CONTROL_CHANGED:
        changes_stand(master, message->text, worker);
        break;
    case CONTROL_PREPARED:
        reload_hear(master, worker, CONTROL_PREPARED, (uint32_t)message->argument, "");
        break;
    case CONTROL_ENDED:
        if (worker->state <= WORKER_DRAINING)
            worker_become(master, worker, WORKER_ENDING, proc_limits.grace_ms);
        break;
    default: /* it does not speak our language: nothing to do */
        break;
    }
}

void supervise_hear(struct master *master, struct worker *worker)
{
    struct control_message message;
    for (uint32_t i = 0; i < MESSAGES_PER_TURN && worker->control >= 0; i++) {
        ssize_t got = recv(worker->control, &message, sizeof message, MSG_DONTWAIT);
        if (got < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (got > 0) {
            worker_said(master, worker, &message, (uint32_t)got);
            continue;
        }
        worker_hang_up(worker); /* a worker without control must not live on */
        if (worker->state != WORKER_KILLED && worker->due_ms > master->now_ms + proc_limits.grace_ms)
            worker->due_ms = master->now_ms + proc_limits.grace_ms;
    }
}

/* Adds the counters of a process that is gone to those of its slot. */
static void keep_counters(struct worker *worker)
{
    const struct mg_stats *from = worker->stats;
    struct mg_stats *to = &worker->past;
    to->accepted += from->accepted;
    to->closed += from->closed;
    to->requests += from->requests;
    for (uint32_t i = 0; i < 6; i++)
        to->answered[i] += from->answered[i];
    to->bytes_in += from->bytes_in;
    to->bytes_out += from->bytes_out;
    to->refused += from->refused;
    to->gone += from->gone;
    to->no_buffers += from->no_buffers;
    to->log_dropped += from->log_dropped;
    memset(worker->stats, 0, sizeof *worker->stats);
}

static void describe_end(int status, char *buffer, size_t bytes)
{
    if (WIFSIGNALED(status))
        snprintf(buffer, bytes, "killed by %s%s", signals_name(WTERMSIG(status)), WCOREDUMP(status) ? " (core dumped)" : "");
    else if (WEXITSTATUS(status))
        snprintf(buffer, bytes, "ended with exit code %d", WEXITSTATUS(status));
    else
        snprintf(buffer, bytes, "ended by itself");
}

/* What it was doing, if it was in the middle of something; "" otherwise. */
static void describe_route(const struct master *master, const struct worker *worker, char *buffer, size_t bytes)
{
    const struct mg_stats *stats = worker->stats;
    *buffer = 0;
    if (!stats->busy)
        return;
    bool seen = worker->glance.since_ms > 0 && worker->glance.beat == stats->beat;
    int used = snprintf(buffer, bytes, ", in %s%.*s", stats->route >= 0 ? "route " : "", (int)sizeof stats->route_name - 1,
                        *stats->route_name ? stats->route_name : "(unnamed)");
    if (seen && master->now_ms > worker->glance.since_ms && used > 0 && (size_t)used < bytes)
        snprintf(buffer + used, bytes - (size_t)used, " for %s", text_duration(master->now_ms - worker->glance.since_ms));
}

static void replace(struct master *master, struct worker *worker, const char *how)
{
    char where[160];
    describe_route(master, worker, where, sizeof where);
    watchdog_blame(master, worker);
    if (worker->ready_ms && master->now_ms - worker->ready_ms >= proc_limits.healthy_ms)
        worker->crashes = 0;
    int64_t rest = rest_ms(worker);
    worker->restarts++;
    logs_say(&master->logs, LOG_LEVEL_ERROR, "worker %u (pid %d): %s%s; replaced %s%s", worker->number + 1, worker->pid, how, where,
             rest ? "in " : "at once", rest ? text_duration(rest) : "");
    worker_become(master, worker, WORKER_RESTING, rest);
}

static void never_started(struct master *master, struct worker *worker, int status)
{
    char how[64], why[96];
    bool has_code = worker->failed && WIFEXITED(status) && WEXITSTATUS(status);
    describe_end(status, how, sizeof how);
    snprintf(why, sizeof why, "%s before it was ready", how);
    tell_user(master, worker, why);
    worker_become(master, worker, WORKER_NONE, -1);
    start_failed(master, has_code ? WEXITSTATUS(status) : EXIT_WORKER);
}

/* It was told to end, so that one of a newer generation begins. */
static void renew(struct master *master, struct worker *worker)
{
    logs_say(&master->logs, LOG_LEVEL_INFO, "worker %u (pid %d): ended before it served, to begin anew with generation %u", worker->number + 1,
             worker->pid, master->generation);
    worker->restarts++;
    worker_become(master, worker, WORKER_RESTING, 0);
}

static void worker_gone(struct master *master, struct worker *worker, int status)
{
    char how[64];
    describe_end(status, how, sizeof how);
    supervise_hear(master, worker);
    worker_hang_up(worker);
    reload_worker_gone(master, worker, how);
    ask_worker_gone(master, worker);
    if (master->state == MASTER_STOPPING) {
        master->cut += worker->cut;
        master->drained += !worker->cut;
        worker_become(master, worker, WORKER_NONE, -1);
    } else if (master->state == MASTER_STARTING && worker->ready_ms == 0 && worker->restarts == 0) {
        never_started(master, worker, status);
    } else if (worker->leaving) {
        logs_say(&master->logs, worker->cut ? LOG_LEVEL_WARN : LOG_LEVEL_INFO, "worker %u (pid %d): %s, its slot being given up",
                 worker->number + 1, worker->pid, worker->cut ? "cut off" : how);
        worker_become(master, worker, WORKER_NONE, -1);
    } else if (worker->renewed) {
        renew(master, worker);
    } else {
        replace(master, worker, how);
    }
    master->look_due_ms = master->now_ms + proc_limits.look_ms;
    worker->probe_due_ms = INT64_MAX;
    worker->pid = 0;
    keep_counters(worker);
    shared_forget(master->shared, (uint32_t)(worker - master->workers));
}

void supervise_reap(struct master *master)
{
    for (uint32_t i = 0; i < master->worker_count; i++) {
        int status;
        struct worker *worker = &master->workers[i];
        if (worker->pid && waitpid(worker->pid, &status, WNOHANG) == worker->pid)
            worker_gone(master, worker, status);
    }
}

static void worker_stop_now(struct master *master, struct worker *worker)
{
    worker->cut = true;
    worker_tell(worker, CONTROL_STOP, 0, "", -1);
    worker_become(master, worker, WORKER_ENDING, proc_limits.grace_ms);
}

/* A worker that has not become ready within its time. */
static void worker_late(struct master *master, struct worker *worker)
{
    char why[96];
    snprintf(why, sizeof why, "not ready within %s: does a start hook wait or loop for ever?", text_duration(proc_limits.start_ms));
    if (!worker->failed && worker->control >= 0)
        worker_failed(master, worker, why);
    worker_kill(master, worker);
}

static void worker_overdue(struct master *master, struct worker *worker)
{
    switch (worker->state) {
    case WORKER_RESTING:
        worker_start(master, worker);
        break;
    case WORKER_DRAINING:
        worker_stop_now(master, worker);
        break;
    case WORKER_STARTING:
        worker_late(master, worker);
        break;
    case WORKER_SERVING: /* it has closed its control socket */
    case WORKER_ENDING:
        worker_kill(master, worker);
        break;
    case WORKER_KILLED: /* not even the kernel can end it now: go on without */
        logs_say(&master->logs, LOG_LEVEL_ERROR, "worker %u (pid %d): does not end even when killed; left behind", worker->number + 1,
                 worker->pid);
        worker_gone(master, worker, SIGKILL);
        break;
    case WORKER_NONE:
    case WORKER_STATES:
        never("nothing is due for a worker that is not there");
    }
}

void supervise_end_stuck(struct master *master, struct worker *worker, const char *why)
{
    if (worker->state != WORKER_SERVING)
        return;
    logs_say(&master->logs, LOG_LEVEL_ERROR, "worker %u (pid %d): %s; it is ended", worker->number + 1, worker->pid, why);
    worker->probe_due_ms = INT64_MAX;
    worker_kill(master, worker);
}

void supervise_doubt(const struct master *master, struct worker *worker)
{
    worker->probe_turn = worker->stats->turn;
    worker->probe_due_ms = master->now_ms + proc_limits.grace_ms;
}

static void worker_probe(struct master *master, struct worker *worker)
{
    worker->probe_due_ms = INT64_MAX;
    if (worker->stats->turn == worker->probe_turn)
        supervise_end_stuck(master, worker, "is stuck and does not hear its master");
}

void supervise_kill(struct master *master, struct worker *worker)
{
    worker_kill(master, worker);
}

/* The kernel takes a dead process's ring down after its death, and may have woken that for a connection: it wakes only one. */
static void tell_to_look(struct master *master)
{
    master->look_due_ms = INT64_MAX;
    for (uint32_t i = 0; i < master->worker_count; i++)
        if (master->workers[i].state == WORKER_SERVING)
            worker_tell(&master->workers[i], CONTROL_LOOK, 0, "", -1);
}

void supervise_tick(struct master *master)
{
    if (master->look_due_ms <= master->now_ms)
        tell_to_look(master);
    for (uint32_t i = 0; i < master->worker_count; i++) {
        struct worker *worker = &master->workers[i];
        if (worker->due_ms <= master->now_ms)
            worker_overdue(master, worker);
        if (worker->probe_due_ms <= master->now_ms)
            worker_probe(master, worker);
    }
}

int64_t supervise_due(const struct master *master)
{
    int64_t due = master->look_due_ms;
    for (uint32_t i = 0; i < master->worker_count; i++) {
        const struct worker *worker = &master->workers[i];
        due = worker->due_ms < due ? worker->due_ms : due;
        due = worker->probe_due_ms < due ? worker->probe_due_ms : due;
    }
    return due;
}

static void worker_stop(struct master *master, struct worker *worker, bool now)
{
    bool runs = worker->state == WORKER_STARTING || worker->state == WORKER_SERVING;
    if (worker->state == WORKER_RESTING) {
        worker_become(master, worker, WORKER_NONE, -1);
    } else if (runs && !now) {
        int64_t drain_ms = worker->state == WORKER_SERVING ? master->plan.drain_ms : 0; /* one that starts has no requests */
        bool patient = master->upgrade.state == UPGRADE_GIVEN || worker->leaving; /* others serve on: a client that comes just now must not be turned away */
        worker_tell(worker, CONTROL_DRAIN, (double)drain_ms, patient ? "patient" : "", -1);
        worker_become(master, worker, WORKER_DRAINING, drain_ms + proc_limits.grace_ms);
    } else if (runs || worker->state == WORKER_DRAINING) {
        worker_stop_now(master, worker);
    }
}

bool supervise_can_have(const struct master *master, uint32_t slots)
{
    uint32_t leave = 0;
    for (uint32_t i = 0; i < master->worker_count; i++)
        leave += master->workers[i].state != WORKER_NONE && (master->workers[i].leaving || master->workers[i].number >= slots);
    return leave + slots <= WORKERS_MAX;
}

void supervise_adjust(struct master *master)
{
    for (uint32_t i = 0; i < master->worker_count; i++) {
        struct worker *worker = &master->workers[i];
        if (worker->state == WORKER_NONE || worker->leaving)
            continue;
        if (worker->number >= master->slots) {
            worker->leaving = true;
            worker_stop(master, worker, false);
        } else if (worker->state == WORKER_STARTING && worker->generation != master->generation) {
            worker->renewed = true;
            worker_stop_now(master, worker);
        }
    }
    start_missing(master, master->slots);
}

void supervise_stop(struct master *master, bool now)
{
    for (uint32_t i = 0; i < master->worker_count; i++)
        worker_stop(master, &master->workers[i], now);
}

void supervise_reopen(struct master *master)
{
    for (uint32_t i = 0; i < master->worker_count; i++) {
        const struct worker *worker = &master->workers[i];
        if (master->logs.access > STDERR_FILENO)
            worker_tell(worker, CONTROL_REOPEN, 0, "access", master->logs.access);
        if (master->logs.error > STDERR_FILENO)
            worker_tell(worker, CONTROL_REOPEN, 0, "error", master->logs.error);
    }
}

bool supervise_all_serve(const struct master *master)
{
    for (uint32_t slot = 0; slot < master->slots; slot++) {
        const struct worker *worker = supervise_of_slot(master, slot);
        if (!worker || worker->state != WORKER_SERVING || worker->generation != master->generation)
            return false;
    }
    return true;
}

bool supervise_none_left(const struct master *master)
{
    for (uint32_t i = 0; i < master->worker_count; i++)
        if (master->workers[i].state != WORKER_NONE)
            return false;
    return true;
}
