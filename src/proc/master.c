/* The master's loop: signals, control commands, workers and time come in; the state of the instance moves on. */
#include "proc/master.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proc/candidate.h"
#include "proc/changes.h"
#include "proc/clock.h"
#include "proc/descriptors.h"
#include "proc/instance.h"
#include "proc/limits.h"
#include "proc/notify.h"
#include "proc/signals.h"
#include "proc/title.h"

/* What is polled, in this order. */
enum {
    POLL_SIGNALS,
    POLL_WATCH,
    POLL_UPGRADE,
    POLL_CANDIDATE = POLL_UPGRADE + UPGRADE_POLLS,
    POLL_CONTROL = POLL_CANDIDATE + CANDIDATE_POLLS,
    POLL_WORKERS = POLL_CONTROL + CONTROL_POLLS,
};
enum { GO_ON = -1, TURN_MS_MAX = 60000 };
enum { DESCRIPTORS_OF_MASTER = 25 }; /* standard ones, signals, name, control, logs, sources, dictionaries, watch, candidate */

static const double FIRST_LOAD_AGE = 0.02; /* seconds, more than a step of clock_files() */

static int refuse(int code, const char *problem)
{
    fprintf(stderr, "moongate: %s\n", problem);
    return code;
}

static uint32_t cpus_allowed(void)
{
    cpu_set_t set;
    int count = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
    return count < PLAN_WORKERS_MAX ? (uint32_t)count : PLAN_WORKERS_MAX;
}

uint32_t master_slots(const struct master *master, const struct plan *plan)
{
    uint32_t wanted = master->options->workers ? master->options->workers : plan->workers;
    return wanted ? wanted : cpus_allowed();
}

/* --name, the plan's name, the file's, the command's: the first that there is. */
static void choose_name(const struct master *master, char ret_name[NAME_BYTES])
{
    const struct vm_options *vm = &master->options->vm;
    if (vm->name)
        name_clean(vm->name, ret_name);
    else if (*master->plan.name)
        name_clean(master->plan.name, ret_name);
    else
        name_of_path(vm->file ? vm->file : vm->command, ret_name);
}

static int take_name(struct master *master)
{
    char folder[NAMES_FOLDER_BYTES], name[NAME_BYTES], problem[NAMES_PROBLEM_BYTES];
    if (!names_folder(folder, problem))
        return refuse(EXIT_SYSTEM, problem);
    choose_name(master, name);
    const struct inheritance *before = &master->upgrade.before;
    int failed = before->lock >= 0 ? claim_adopt(&master->claim, folder, name, before->lock, before->control, problem)
                                   : claim_take(&master->claim, folder, name, problem);
    if (failed)
        return refuse(failed == -EEXIST ? EXIT_INSTANCE : EXIT_SYSTEM, problem);
    control_init(&master->control, before->lock >= 0 ? -1 : master->claim.listener);
    title_set("moongate: master %s", name);
    return GO_ON;
}

uint64_t master_room_needed(uint32_t slots, uint32_t addresses)
{
    return DESCRIPTORS_OF_MASTER + POLL_WORKERS + slots * (uint64_t)(1 + addresses);
}

/* poll(2) takes no more entries than descriptors are allowed; a loop that starts below that would turn without ever hearing anything. */
bool master_has_room(const struct master *master, uint32_t slots, uint32_t addresses, char *ret_problem)
{
    uint64_t needed = master_room_needed(slots, addresses);
    if (master->descriptors >= needed)
        return true;
    snprintf(ret_problem, LISTEN_PROBLEM_BYTES, "%llu open files are allowed, %u worker%s need%s at least %llu: raise the limit (ulimit -n)%s",
             (unsigned long long)master->descriptors, slots, slots == 1 ? "" : "s", slots == 1 ? "s" : "",
             (unsigned long long)needed, slots == 1 ? "" : " or start fewer (--workers)");
    return false;
}

static int make_room(struct master *master)
{
    char problem[LISTEN_PROBLEM_BYTES];
    master->slots = master_slots(master, &master->plan);
    if (!master_has_room(master, master->slots, master->plan.listen_count, problem))
        return refuse(EXIT_SYSTEM, problem);
    master->workers = calloc(WORKERS_MAX, sizeof *master->workers);
    master->polls = calloc(POLL_WORKERS + WORKERS_MAX, sizeof *master->polls);
    if (!master->workers || !master->polls || shm_open_stats(&master->shm, WORKERS_MAX) < 0 ||
        !(master->shared = shm_map(shared_bytes())) || stores_open(&master->stores, master->upgrade.before.stores) < 0)
        return refuse(EXIT_SYSTEM, "no memory");
    for (uint32_t i = 0; i < WORKERS_MAX; i++)
        master->workers[i] =
            (struct worker){ .number = i, .control = -1, .due_ms = INT64_MAX, .probe_due_ms = INT64_MAX, .stats = shm_stats(&master->shm, i) };
    changes_read(master, master->upgrade.before.changes);
    stores_make(&master->stores, &master->plan, &master->logs);
    return GO_ON;
}

/* Everything that comes before the first socket. */
static int master_prepare(struct master *master)
{
    char problem[LOGS_PROBLEM_BYTES];
    master->signals = signals_open();
    if (master->signals < 0)
        return refuse(EXIT_SYSTEM, strerror(-master->signals));
    master->descriptors = descriptors_raise();
    vm_warm();
    int code = candidate_plan(master->options, master->signals, &master->plan, &master->sources);
    if (code == GO_ON)
        code = take_name(master);
    if (code == GO_ON && logs_open(&master->logs, &master->plan, master->options->vm.debug, problem) < 0)
        code = refuse(EXIT_SYSTEM, problem);
    if (code == GO_ON)
        code = make_room(master);
    if (code == GO_ON)
        reload_watch(master); /* before anybody can believe that what he saves is seen */
    return code;
}

static void say_backlog(struct master *master)
{
    int most = 0;
    FILE *file = fopen("/proc/sys/net/core/somaxconn", "re");
    if (file && fscanf(file, "%d", &most) == 1 && most < LISTEN_BACKLOG)
        logs_say(&master->logs, LOG_LEVEL_DEBUG, "listen: the kernel cuts the backlog of %d to net.core.somaxconn = %d", LISTEN_BACKLOG, most);
    if (file)
        fclose(file);
}

/* Sockets that were handed to us and are on none of our addresses. */
static void say_unused(struct master *master)
{
    char addresses[512];
    if (inherit_drop(addresses, sizeof addresses) > 0)
        logs_say(&master->logs, LOG_LEVEL_WARN, "listen: %s: handed to us, but the config does not listen there: closed", addresses);
}

/* One attempt to open the listening sockets; then the workers start, or the attempt is repeated, or all is over. */
static void master_bind(struct master *master)
{
    char problem[LISTEN_PROBLEM_BYTES];
    struct listeners opened;
    int failed = listeners_open(&master->listeners, master->plan.listen, master->plan.listen_count, master->slots, &opened, problem);
    if (!failed && (failed = listeners_listen(&opened, problem)) < 0)
        listeners_abandon(&master->listeners, &opened);
    if (!failed) {
        listeners_commit(&master->listeners, &opened);
        upgrade_speak_up(master);
        say_unused(master);
        say_backlog(master);
        master->bind_due_ms = INT64_MAX;
        master->state = MASTER_STARTING;
        supervise_start(master);
    } else if (failed == -EADDRINUSE && master->now_ms < master->bind_until_ms) {
        if (!master->waiting)
            logs_say(&master->logs, LOG_LEVEL_WARN, "%s; waiting for it up to %s", problem,
                     text_duration(master->options->wait_for_port_ms));
        master->waiting = true;
        master->bind_due_ms = master->now_ms + proc_limits.port_retry_ms;
    } else {
        bool of_address = failed == -EADDRINUSE || failed == -EACCES || failed == -EADDRNOTAVAIL || failed == -EEXIST;
        master->exit_code = refuse(of_address ? EXIT_LISTEN : EXIT_SYSTEM, problem);
        master->state = MASTER_ENDED;
    }
}

/* The ready line: every address, with the port it really has. */
static void announce(struct master *master)
{
    char url[ADDRESS_TEXT_BYTES], status[128];
    struct text line = { 0 };
    text_put(&line, "moongate: %s serves", master->claim.name);
    for (uint32_t i = 0; i < master->listeners.count; i++) {
        address_url(&master->listeners.list[i]->address, url);
        text_put(&line, " %s", url);
    }
    text_put(&line, " with %u worker%s\n", master->slots, master->slots == 1 ? "" : "s");
    fwrite(line.at, 1, line.bytes, stderr);
    fflush(stderr);
    text_fini(&line);
    snprintf(status, sizeof status, "serving, %u worker%s", master->slots, master->slots == 1 ? "" : "s");
    notify_ready(status);
}

void master_stop(struct master *master, const char *why)
{
    if (master->state == MASTER_BINDING) {
        master->state = MASTER_ENDED;
        return;
    }
    bool again = master->state == MASTER_STOPPING;
    if (!again) {
        reload_stop(master);
        upgrade_stop(master);
        if (master->upgrade.state == UPGRADE_NONE)
            notify_stopping();
        master->state = MASTER_STOPPING;
        master->stopping_ms = master->now_ms;
        logs_say(&master->logs, LOG_LEVEL_INFO, "%s: %s: finishing requests, at most %s", master->claim.name, why,
                 text_duration(master->plan.drain_ms));
    } else {
        logs_say(&master->logs, LOG_LEVEL_WARN, "%s: %s again: stopping now", master->claim.name, why);
    }
    supervise_stop(master, again);
}

static void master_reopen(struct master *master)
{
    char problem[LOGS_PROBLEM_BYTES];
    if (logs_reopen(&master->logs, problem) < 0) {
        logs_say(&master->logs, LOG_LEVEL_ERROR, "%s; the old file stays in use", problem);
        return;
    }
    supervise_reopen(master);
    logs_say(&master->logs, LOG_LEVEL_INFO, "log files opened anew");
}

static void master_signals(struct master *master)
{
    for (int number; (number = signals_next(master->signals));) {
        if (number == SIGTERM || number == SIGINT)
            master_stop(master, signals_name(number));
        else if (number == SIGUSR1)
            master_reopen(master);
        else if (number == SIGHUP)
            reload_ask(master, RELOAD_BY_SIGNAL);
        else if (number == SIGUSR2)
            upgrade_ask(master, NULL);
    }
}

static void command_stop(struct master *master, struct client *client)
{
    int64_t most = master->plan.drain_ms + 2 * proc_limits.grace_ms + proc_limits.kill_ms;
    text_put(&client->answer, "wait %lld\n", (long long)most);
    client->wait = WAIT_STOP;
    control_send(client); /* the rest is said by answer_stop() */
    if (master->state != MASTER_STOPPING)
        master_stop(master, "stop");
}

static void command_reload(struct master *master, struct client *client)
{
    if (master->state == MASTER_STOPPING || master->upgrade.state == UPGRADE_STARTING) {
        text_put(&client->answer, "error: reload: %s\n", master->state == MASTER_STOPPING ? "the instance is stopping" : "an upgrade is under way");
        control_finish(client, master->now_ms);
        return;
    }
    text_put(&client->answer, "wait %lld\n", (long long)reload_most_ms());
    client->wait = WAIT_RELOAD;
    client->ticket = reload_ask(master, RELOAD_BY_COMMAND);
    control_send(client);
}

static void master_command(struct master *master, struct client *client)
{
    const char *line = client->line;
    if (strcmp(line, "stop") == 0) {
        command_stop(master, client);
        return;
    }
    if (strcmp(line, "reload") == 0) {
        command_reload(master, client);
        return;
    }
    if (strcmp(line, "upgrade") == 0) {
        upgrade_ask(master, client);
        return;
    }
    if (strncmp(line, "ask ", 4) == 0) {
        ask_workers(master, client, line + 4);
        return;
    }
    if (strncmp(line, "upstream ", 9) == 0) {
        changes_command(master, client, line + 9);
        return;
    }
    if (strcmp(line, "status") == 0)
        status_text(master, &client->answer);
    else if (strcmp(line, "status json") == 0)
        status_json(master, &client->answer);
    else
        text_put(&client->answer, "error: unknown command \"%.40s\"\n", line);
    control_finish(client, master->now_ms);
}

/* Those who asked to stop have waited for this. */
static void answer_stop(struct master *master)
{
    for (uint32_t i = 0; i < CONTROL_CLIENTS_MAX; i++) {
        struct client *client = &master->control.clients[i];
        if (client->state != CLIENT_WAITING || client->wait != WAIT_STOP)
            continue;
        text_put(&client->answer, "%s: stopped after %s: %u worker%s finished", master->claim.name,
                 text_duration(master->stopping_ms ? master->now_ms - master->stopping_ms : 0), master->drained,
                 master->drained == 1 ? "" : "s");
        if (master->cut)
            text_put(&client->answer, ", %u cut off with requests in flight", master->cut);
        text_put(&client->answer, "\n");
        control_finish(client, master->now_ms);
    }
}

static int64_t sooner(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int turn_ms(const struct master *master)
{
    int64_t due = sooner(supervise_due(master), control_due(&master->control));
    due = sooner(due, sooner(reload_due(master), sooner(ask_due(&master->asks), watch_due(&master->watch))));
    due = sooner(due, sooner(watchdog_due(master), sooner(upgrade_due(master), master->alive_due_ms)));
    if (master->state == MASTER_BINDING)
        due = sooner(due, master->bind_due_ms);
    int64_t left = due - clock_ms();
    return left <= 0 ? 0 : left < TURN_MS_MAX ? (int)left : TURN_MS_MAX;
}

static void master_poll(struct master *master)
{
    struct pollfd *polls = master->polls;
    polls[POLL_SIGNALS] = (struct pollfd){ master->signals, POLLIN, 0 };
    polls[POLL_WATCH] = (struct pollfd){ watch_descriptor(&master->watch), POLLIN, 0 };
    upgrade_polls(&master->upgrade, polls + POLL_UPGRADE);
    candidate_polls(&master->reload.candidate, polls + POLL_CANDIDATE);
    control_polls(&master->control, polls + POLL_CONTROL);
    for (uint32_t i = 0; i < master->worker_count; i++)
        polls[POLL_WORKERS + i] = (struct pollfd){ master->workers[i].control, POLLIN, 0 };
    int ready = poll(polls, POLL_WORKERS + master->worker_count, turn_ms(master));
    if (ready <= 0)
        for (uint32_t i = 0; i < POLL_WORKERS + master->worker_count; i++)
            polls[i].revents = 0;
    master->now_ms = clock_ms();
}

/* The files of the running generation, or those of a candidate that failed, are watched when the config or the command line says so. */
static void master_watch(struct master *master)
{
    if (watch_turn(&master->watch, master->polls[POLL_WATCH].revents, master->now_ms))
        reload_ask(master, RELOAD_BY_WATCH);
}

static void master_advance(struct master *master)
{
    if (master->state == MASTER_BINDING && master->bind_due_ms <= master->now_ms)
        master_bind(master);
    if (master->state == MASTER_STARTING && supervise_all_serve(master)) {
        master->state = MASTER_SERVING;
        if (upgrade_serves(master))
            announce(master);
    }
    if (master->state == MASTER_STOPPING && supervise_none_left(master))
        master->state = MASTER_ENDED;
}

/* The sign of life that a service manager wants, as long as we turn. */
static void master_alive(struct master *master)
{
    if (master->alive_due_ms > master->now_ms)
        return;
    notify_alive();
    master->alive_due_ms = master->now_ms + notify_alive_ms();
}

static void master_turn(struct master *master)
{
    master_poll(master);
    for (uint32_t i = 0; i < master->worker_count; i++)
        if (master->polls[POLL_WORKERS + i].revents)
            supervise_hear(master, &master->workers[i]);
    if (master->polls[POLL_SIGNALS].revents)
        master_signals(master);
    supervise_reap(master);
    control_turn(&master->control, master->polls + POLL_CONTROL, master->now_ms);
    for (struct client *client; (client = control_next(&master->control));)
        master_command(master, client);
    master_watch(master);
    supervise_tick(master);
    watchdog_tick(master);
    master_advance(master);
    reload_turn(master, master->polls + POLL_CANDIDATE);
    ask_turn(master);
    if (upgrade_turn(master, master->polls + POLL_UPGRADE))
        announce(master);
    master_alive(master);
}

/* The last words, in the order that others rely on: ports and name are free before "stopped" is said. */
static void master_fini(struct master *master)
{
    bool stopped = master->state == MASTER_ENDED && master->stopping_ms && master->exit_code == EXIT_OK;
    reload_fini(master);
    upgrade_end(master);
    listeners_close(&master->listeners);
    claim_release(&master->claim);
    answer_stop(master);
    if (stopped)
        logs_say(&master->logs, master->cut ? LOG_LEVEL_WARN : LOG_LEVEL_INFO, "%s: stopped: %u finished, %u cut off", master->claim.name,
                 master->drained, master->cut);
    control_fini(&master->control);
    ask_fini(&master->asks);
    watch_fini(&master->watch);
    logs_close(&master->logs);
    shm_close(&master->shm);
    stores_close(&master->stores);
    standings_fini(&master->changes);
    shm_unmap(master->shared, shared_bytes());
    vm_cool();
    free(master->workers);
    free(master->polls);
    plan_fini(&master->plan);
    if (master->sources >= 0)
        close(master->sources);
    if (master->signals >= 0)
        close(master->signals);
}

int master_run(const struct options *options, const struct inheritance *inherited)
{
    struct master master = {
        .options = options,
        .signals = -1,
        .sources = -1,
        .stores = { .fd = -1 },
        .generation = inherited->generation + 1,
        .look_due_ms = INT64_MAX,
        .alive_due_ms = notify_alive_ms() ? 0 : INT64_MAX,
        .started_ms = clock_ms(),
        .now_ms = clock_ms(),
        .logs = { .access = -1, .error = -1 },
        .claim = { .lock = -1, .listener = -1 },
    };
    reload_init(&master.reload, master.generation);
    master.reload.began_files = clock_files() + FIRST_LOAD_AGE; /* what was saved just before is what is loaded */
    upgrade_init(&master.upgrade, inherited);
    watchdog_init(&master.watchdog);
    watch_init(&master.watch);
    int code = master_prepare(&master);
    if (code == GO_ON) {
        master.now_ms = clock_ms();
        master.bind_until_ms = master.now_ms + (options->wait_for_port_ms > 0 ? options->wait_for_port_ms : 0);
        while (master.state != MASTER_ENDED)
            master_turn(&master);
        code = master.exit_code;
    }
    master_fini(&master);
    return code;
}
