/* The machine of live reload. Nothing here waits: a step is taken when reload_turn() finds that it can be. Until the last step, COMMIT,
 * everything new stands beside what serves, and can be forgotten. */
#include "proc/reload.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/must.h"
#include "proc/clock.h"
#include "proc/instance.h"
#include "proc/limits.h"
#include "proc/notify.h"

enum { GO_ON = -1, RETRY_MS = 20 };

static const uint8_t moves[RELOAD_STATES] = {
#define TO(state) (1u << RELOAD_##state)
    [RELOAD_IDLE] = TO(LOADING),
    [RELOAD_LOADING] = TO(OPENING) | TO(IDLE),
    [RELOAD_OPENING] = TO(PREPARING) | TO(IDLE),
    [RELOAD_PREPARING] = TO(COMMITTING) | TO(IDLE),
    [RELOAD_COMMITTING] = TO(IDLE),
#undef TO
};

/* The one door to the state. `in_ms`: it ends by then. */
static void reload_become(struct master *master, enum reload_state state, int64_t in_ms)
{
    must(moves[master->reload.state] & 1u << state);
    if (state == RELOAD_LOADING)
        notify_reloading();
    else if (state == RELOAD_IDLE)
        notify_ready("serving");
    master->reload.state = state;
    master->reload.due_ms = state == RELOAD_IDLE ? INT64_MAX : master->now_ms + in_ms;
}

void reload_init(struct reload *reload, uint32_t generation)
{
    *reload = (struct reload){ .due_ms = INT64_MAX, .sources = -1, .numbers_given = generation, .retry_ms = INT64_MAX };
    candidate_init(&reload->candidate);
}

uint32_t reload_ask(struct master *master, enum reload_cause cause)
{
    master->reload.next_causes |= cause;
    return master->reload.round + 1;
}

int64_t reload_most_ms(void)
{
    int64_t one = proc_limits.load_ms + proc_limits.kill_ms + proc_limits.release_ms + proc_limits.prepare_ms + proc_limits.commit_ms;
    return proc_limits.start_ms + 2 * one; /* of an instance that starts, and behind one that has begun */
}

/* ---- the end of a reload, good or bad ---- */

static void forget(struct reload *reload)
{
    if (reload->sources >= 0)
        close(reload->sources);
    reload->sources = -1;
    candidate_fini(&reload->candidate);
    plan_fini(&reload->plan);
    text_fini(&reload->problems);
    reload->has_listeners = reload->has_logs = false;
    reload->retry_ms = INT64_MAX;
}

/* Tells the workers that build the candidate to forget it. A worker that was `late` has to show that it still turns. */
static void abandon(struct master *master, bool late)
{
    for (uint32_t i = 0; i < master->worker_count; i++) {
        struct worker *worker = &master->workers[i];
        if (worker->preparing == 0)
            continue;
        worker_tell(worker, CONTROL_ABANDON, worker->preparing, "", -1);
        if (late && !worker->prepared)
            supervise_doubt(master, worker);
        worker->preparing = 0;
        worker->prepared = false;
    }
}

/* Nothing has changed. reload->problems says why. */
static void reload_fail(struct master *master, bool late)
{
    struct reload *reload = &master->reload;
    if (reload->state == RELOAD_PREPARING)
        abandon(master, late);
    if (reload->has_listeners)
        listeners_abandon(&master->listeners, &reload->listeners);
    if (reload->has_logs)
        logs_close(&reload->logs);
    reload_tell_failed(master);
    reload_watch(master);
    forget(reload);
    reload_become(master, RELOAD_IDLE, 0);
}

/* ---- LOADING ---- */

static void begin(struct master *master)
{
    struct reload *reload = &master->reload;
    reload->round++;
    reload->causes = reload->next_causes;
    reload->next_causes = 0;
    reload->began_ms = master->now_ms;
    reload->began_files = clock_files();
    reload_become(master, RELOAD_LOADING, proc_limits.load_ms + 2 * proc_limits.kill_ms);
    int failed = candidate_start(&reload->candidate, master->options, master->now_ms);
    if (failed) {
        text_put(&reload->problems, "moongate: cannot start a process: %s\n", strerror(-failed));
        reload_fail(master, false);
    }
}

static void loaded(struct master *master)
{
    struct reload *reload = &master->reload;
    int code = candidate_take(&reload->candidate, &reload->plan, &reload->sources);
    struct text said = reload->candidate.said;
    reload->candidate.said = (struct text){ 0 };
    candidate_fini(&reload->candidate);
    if (code != GO_ON) {
        text_fini(&reload->problems);
        reload->problems = said;
        reload_fail(master, false);
        return;
    }
    reload_log_lines(master, LOG_LEVEL_WARN, &said);
    text_fini(&said);
    reload->slots = master_slots(master, &reload->plan);
    reload->retry_ms = master->now_ms;
    reload_become(master, RELOAD_OPENING, proc_limits.release_ms);
}

/* ---- OPENING ---- */

static bool logs_change(const struct master *master)
{
    const struct plan *now = &master->plan, *next = &master->reload.plan;
    return strcmp(now->access_log, next->access_log) != 0 || strcmp(now->error_log, next->error_log) != 0;
}

static bool refuse(struct reload *reload, const char *problem)
{
    text_put(&reload->problems, "moongate: %s\n", problem);
    return false;
}

/* What is new besides routes must be possible before a worker hears of anything. 0, -EAGAIN (later), or another -errno with a problem. */
static int open_listeners(struct master *master)
{
    char problem[LISTEN_PROBLEM_BYTES];
    struct reload *reload = &master->reload;
    int failed = listeners_open(&master->listeners, reload->plan.listen, reload->plan.listen_count, reload->slots, &reload->listeners, problem);
    if (failed == -EADDRINUSE && master->now_ms < reload->due_ms)
        return -EAGAIN; /* perhaps by a worker of ours that has not closed it yet */
    reload->has_listeners = !failed;
    if (failed)
        refuse(reload, problem);
    return failed;
}

static bool fits(struct master *master)
{
    struct reload *reload = &master->reload;
    struct listen_socket sockets[LISTEN_OF_WORKER_MAX];
    uint32_t most = listeners_of(&reload->listeners, 0, reload->slots, false, sockets);
    if (most <= LISTEN_OF_WORKER_MAX)
        return true;
    text_put(&reload->problems, "moongate: workers: with so few, one of them would have to serve %u listening sockets, at most %d are "
             "possible: keep more workers, or start the instance anew\n", most, LISTEN_OF_WORKER_MAX);
    return false;
}

static bool open_logs(struct master *master)
{
    char problem[LOGS_PROBLEM_BYTES];
    struct reload *reload = &master->reload;
    if (!logs_change(master))
        return true;
    if (logs_open(&reload->logs, &reload->plan, master->options->vm.debug, problem) < 0)
        return refuse(reload, problem);
    reload->has_logs = true;
    return true;
}

static bool has_room(struct master *master)
{
    char problem[LISTEN_PROBLEM_BYTES];
    struct reload *reload = &master->reload;
    if (!supervise_can_have(master, reload->slots))
        return refuse(reload, "workers: too many of those before still finish their requests: try again later");
    return master_has_room(master, reload->slots, reload->plan.listen_count, problem) || refuse(reload, problem);
}

static void prepare(struct master *master)
{
    struct reload *reload = &master->reload;
    reload->number = ++reload->numbers_given;
    reload_become(master, RELOAD_PREPARING, proc_limits.prepare_ms);
    for (uint32_t i = 0; i < master->worker_count; i++)
        reload_worker_serves(master, &master->workers[i]);
}

static void open_all(struct master *master)
{
    struct reload *reload = &master->reload;
    int failed = has_room(master) ? open_listeners(master) : -EMFILE;
    reload->retry_ms = failed == -EAGAIN ? master->now_ms + RETRY_MS : INT64_MAX;
    if (failed == -EAGAIN)
        return;
    if (failed || !fits(master) || !open_logs(master))
        reload_fail(master, false);
    else
        prepare(master);
}

/* ---- PREPARING ---- */

void reload_worker_serves(struct master *master, struct worker *worker)
{
    struct reload *reload = &master->reload;
    bool takes_part = worker->state == WORKER_SERVING && !worker->leaving && worker->number < reload->slots;
    if (reload->state != RELOAD_PREPARING || !takes_part || worker->preparing)
        return;
    worker->preparing = reload->number;
    worker->prepared = false;
    worker_tell(worker, CONTROL_PREPARE, reload->number, "", reload->sources);
}

static bool all_prepared(const struct master *master)
{
    for (uint32_t i = 0; i < master->worker_count; i++)
        if (master->workers[i].preparing && !master->workers[i].prepared)
            return false;
    return true;
}

static void prepare_late(struct master *master)
{
    struct reload *reload = &master->reload;
    for (uint32_t i = 0; i < master->worker_count; i++)
        if (master->workers[i].preparing && !master->workers[i].prepared)
            text_put(&reload->problems, "moongate: worker %u: not prepared within %s: does a start hook wait or loop for ever?\n",
                     master->workers[i].number + 1, text_duration(proc_limits.prepare_ms));
    reload_fail(master, true);
}

void reload_hear(struct master *master, struct worker *worker, uint32_t kind, uint32_t generation, const char *text)
{
    struct reload *reload = &master->reload;
    bool prepares = reload->state == RELOAD_PREPARING && worker->preparing && worker->preparing == generation;
    if (kind == CONTROL_PREPARED && prepares) {
        worker->prepared = true;
    } else if (kind == CONTROL_FAILED && prepares) {
        text_put(&reload->problems, "moongate: worker %u: %s%s", worker->number + 1, text, *text && text[strlen(text) - 1] == '\n' ? "" : "\n");
        reload_fail(master, false);
    } else if (kind == CONTROL_READY && worker->committing && generation == master->generation) {
        worker->generation = generation;
        worker->committing = false;
    } else if (kind == CONTROL_FAILED && generation == 0 && *text) {
        logs_say(&master->logs, LOG_LEVEL_ERROR, "worker %u (pid %d): %s", worker->number + 1, worker->pid, text);
    }
}

void reload_worker_gone(struct master *master, struct worker *worker, const char *how)
{
    struct reload *reload = &master->reload;
    uint32_t number = worker->preparing;
    worker->preparing = 0;
    worker->committing = false;
    if (reload->state != RELOAD_PREPARING || number != reload->number)
        return;
    text_put(&reload->problems, "moongate: worker %u (pid %d): %s while it prepared generation %u\n", worker->number + 1, worker->pid, how, number);
    reload_fail(master, false);
}

/* ---- COMMITTING ---- */

static void reopen(const struct worker *worker, const char *which, int before, int now, int nothing)
{
    if (before != now)
        worker_tell(worker, CONTROL_REOPEN, 0, which, now >= 0 ? now : nothing);
}

/* All workers write to the new log files, those that leave, too. Then they are ours. */
static void commit_logs(struct master *master)
{
    struct logs *logs = &master->logs, *next = &master->reload.logs;
    int nothing = open("/dev/null", O_WRONLY | O_CLOEXEC);
    for (uint32_t i = 0; i < master->worker_count && master->reload.has_logs; i++) {
        reopen(&master->workers[i], "access", logs->access, next->access, nothing);
        reopen(&master->workers[i], "error", logs->error, next->error, nothing);
    }
    if (nothing >= 0)
        close(nothing);
    if (!master->reload.has_logs)
        return;
    logs_close(logs);
    logs->access = next->access;
    logs->error = next->error;
    master->reload.has_logs = false;
}

static bool among(const struct listen_socket *sockets, uint32_t count, uint32_t number)
{
    for (uint32_t i = 0; i < count; i++)
        if (sockets[i].number == number)
            return true;
    return false;
}

/* Hands a worker the sockets that it does not have yet and names all that it is to accept on. */
static void commit_worker(struct master *master, struct worker *worker)
{
    struct reload *reload = &master->reload;
    struct listen_socket had[LISTEN_OF_WORKER_MAX], has[LISTEN_OF_WORKER_MAX];
    struct text numbers = { 0 };
    uint32_t had_count = listeners_of(&master->listeners, worker->number, master->slots, true, had);
    uint32_t count = listeners_of(&reload->listeners, worker->number, reload->slots, false, has);
    for (uint32_t i = 0; i < count; i++) {
        if (!among(had, had_count, has[i].number))
            worker_tell(worker, CONTROL_LISTEN, has[i].number, "", has[i].fd);
        text_put(&numbers, "%s%u", i ? " " : "", has[i].number);
    }
    worker_tell(worker, CONTROL_COMMIT, reload->number, numbers.bytes ? numbers.at : "", -1);
    text_fini(&numbers);
    worker->preparing = 0;
    worker->prepared = false;
    worker->committing = true;
}

static void commit(struct master *master)
{
    char problem[LISTEN_PROBLEM_BYTES];
    struct reload *reload = &master->reload;
    if (listeners_listen(&reload->listeners, problem) < 0) {
        refuse(reload, problem);
        reload_fail(master, false);
        return;
    }
    commit_logs(master);
    for (uint32_t i = 0; i < master->worker_count; i++)
        if (master->workers[i].preparing)
            commit_worker(master, &master->workers[i]);
    reload->routes_changed = plan_routes_changed(&master->plan, &reload->plan);
    reload->listeners_changed = listeners_beyond(&reload->listeners, &master->listeners) + listeners_beyond(&master->listeners, &reload->listeners);
    reload_warn_name(master);
    reload_warn_engine(master);
    listeners_commit(&master->listeners, &reload->listeners);
    reload->has_listeners = false;
    plan_fini(&master->plan);
    master->plan = reload->plan;
    reload->plan = (struct plan){ 0 };
    stores_make(&master->stores, &master->plan, &master->logs);
    if (master->sources >= 0)
        close(master->sources);
    master->sources = reload->sources;
    reload->sources = -1;
    master->generation = reload->number;
    master->generation_ms = master->now_ms;
    master->slots = reload->slots;
    reload_become(master, RELOAD_COMMITTING, proc_limits.commit_ms);
    supervise_adjust(master);
    reload_watch(master);
}

/* Workers that have been told to serve it and do not are stuck in something: they are replaced by others that do. */
static void commit_late(struct master *master)
{
    for (uint32_t i = 0; i < master->worker_count; i++)
        if (master->workers[i].committing) {
            master->workers[i].committing = false;
            supervise_end_stuck(master, &master->workers[i], "has not taken the new generation in time");
        }
}

static void reload_finish(struct master *master)
{
    reload_tell_done(master);
    forget(&master->reload);
    reload_become(master, RELOAD_IDLE, 0);
}

/* ---- the turn ---- */

/* Not beside an upgrade: sockets, sources and the number of the generation are another's soon. */
static bool may_begin(const struct master *master)
{
    return master->reload.next_causes && master->state == MASTER_SERVING && master->upgrade.state == UPGRADE_NONE;
}

void reload_turn(struct master *master, const struct pollfd *polls)
{
    struct reload *reload = &master->reload;
    candidate_turn(&reload->candidate, polls, master->now_ms);
    bool late = reload->due_ms <= master->now_ms;
    switch (reload->state) {
    case RELOAD_IDLE:
        if (may_begin(master))
            begin(master);
        break;
    case RELOAD_LOADING:
        if (reload->candidate.state == CANDIDATE_ENDED)
            loaded(master);
        break;
    case RELOAD_OPENING:
        if (reload->retry_ms <= master->now_ms)
            open_all(master);
        break;
    case RELOAD_PREPARING:
        if (all_prepared(master))
            commit(master);
        else if (late)
            prepare_late(master);
        break;
    case RELOAD_COMMITTING:
        if (late)
            commit_late(master);
        if (late || supervise_all_serve(master))
            reload_finish(master);
        break;
    case RELOAD_STATES:
        never("the number of states is no state");
    }
}

/* Whether the next step can be taken without waiting for anything. */
static bool is_ready(const struct master *master)
{
    const struct reload *reload = &master->reload;
    return (reload->state == RELOAD_IDLE && may_begin(master)) ||
           (reload->state == RELOAD_PREPARING && all_prepared(master)) ||
           (reload->state == RELOAD_COMMITTING && supervise_all_serve(master));
}

int64_t reload_due(const struct master *master)
{
    const struct reload *reload = &master->reload;
    if (is_ready(master))
        return master->now_ms;
    int64_t due = candidate_due(&reload->candidate);
    if (reload->state != RELOAD_LOADING && reload->due_ms < due)
        due = reload->due_ms;
    return reload->retry_ms < due ? reload->retry_ms : due;
}

void reload_stop(struct master *master)
{
    struct reload *reload = &master->reload;
    reload->next_causes = 0;
    reload_tell_stopping(master);
    if (reload->state == RELOAD_IDLE)
        return;
    if (reload->state == RELOAD_PREPARING)
        abandon(master, false);
    if (reload->has_listeners)
        listeners_abandon(&master->listeners, &reload->listeners);
    if (reload->has_logs)
        logs_close(&reload->logs);
    forget(reload);
    reload_become(master, RELOAD_IDLE, 0);
}

void reload_fini(struct master *master)
{
    reload_stop(master);
}
