/* Looks at what runs now and then, and when what it saw has run for as long as it may. */
#include "proc/watchdog.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "gate/stats.h"
#include "proc/instance.h"
#include "proc/limits.h"

/* What has begun is seen a part of the least limit later at most; from then on the looks come when its limits are over. */
enum { LOOK_LEAST_MS = 2, LOOK_MOST_MS = 100, PARTS = 10 };

void watchdog_init(struct watchdog *watchdog)
{
    *watchdog = (struct watchdog){ .due_ms = INT64_MAX };
}

/* Past the first limit: the worker raises an error in that stretch. */
static void tell_to_end(struct worker *worker)
{
    worker->stats->stop_beat = worker->glance.beat;
    worker->glance.told = true;
    kill(worker->pid, SIGURG);
}

/* Past the second. */
static void end_worker(struct master *master, struct worker *worker, int64_t age)
{
    const struct mg_stats *stats = worker->stats;
    bool in_route = stats->route >= 0;
    logs_say(&master->logs, LOG_LEVEL_ERROR, "worker %u (pid %d): %s%.*s has run for %s without waiting and cannot be stopped: killed",
             worker->number + 1, worker->pid, in_route ? "route " : "", (int)sizeof stats->route_name - 1,
             *stats->route_name ? stats->route_name : "code without a name", text_duration(age));
    worker->crashes = 0; /* it did not crash, and it took its time: the next one comes at once */
    supervise_kill(master, worker);
}

/* After how many ms the stretch that runs has to be looked at again; INT64_MAX: there is nothing to look after. */
static int64_t look(struct master *master, struct worker *worker)
{
    struct glance *glance = &worker->glance;
    const struct mg_stats *stats = worker->stats;
    if ((worker->state != WORKER_SERVING && worker->state != WORKER_DRAINING) || !stats->busy) {
        glance->since_ms = 0;
        return INT64_MAX;
    }
    if (glance->since_ms == 0 || stats->beat != glance->beat) {
        *glance = (struct glance){ .beat = stats->beat, .since_ms = master->now_ms };
        return stats->soft_ms ? stats->soft_ms : INT64_MAX;
    }
    int64_t age = master->now_ms - glance->since_ms, soft_ms = stats->soft_ms, hard_ms = soft_ms + stats->grace_ms;
    if (soft_ms == 0)
        return INT64_MAX;
    if (age >= soft_ms && !glance->told)
        tell_to_end(worker);
    if (age >= hard_ms)
        end_worker(master, worker, age);
    return age < soft_ms ? soft_ms - age : age < hard_ms ? hard_ms - age : LOOK_LEAST_MS;
}

void watchdog_tick(struct master *master)
{
    struct watchdog *watchdog = &master->watchdog;
    int64_t least = 0, in_ms = INT64_MAX;
    if (master->now_ms < watchdog->due_ms && watchdog->due_ms != INT64_MAX)
        return;
    for (uint32_t i = 0; i < master->worker_count; i++) {
        struct worker *worker = &master->workers[i];
        int64_t next_ms = look(master, worker);
        in_ms = next_ms < in_ms ? next_ms : in_ms;
        uint32_t own = worker->state == WORKER_SERVING || worker->state == WORKER_DRAINING ? worker->stats->least_ms : 0;
        if (own && (least == 0 || own < least))
            least = own;
    }
    int64_t part_ms = least / PARTS < LOOK_MOST_MS ? least / PARTS : LOOK_MOST_MS;
    in_ms = in_ms < part_ms ? in_ms : part_ms;
    in_ms = in_ms < LOOK_LEAST_MS ? LOOK_LEAST_MS : in_ms;
    watchdog->due_ms = least ? master->now_ms + in_ms : INT64_MAX;
}

int64_t watchdog_due(const struct master *master)
{
    return master->watchdog.due_ms;
}

/* ---- routes that kill ---- */

/* The table is of one generation: a reload gives every route another chance. */
static void follow_generation(struct master *master)
{
    if (master->watchdog.generation == master->generation)
        return;
    master->watchdog.count = 0;
    master->watchdog.generation = master->generation;
}

static struct blame *blame_of(struct watchdog *watchdog, int32_t route, const char *name)
{
    for (uint32_t i = 0; i < watchdog->count; i++)
        if (watchdog->blames[i].route == route)
            return &watchdog->blames[i];
    if (watchdog->count == WATCHDOG_ROUTES_MAX)
        return NULL;
    struct blame *blame = &watchdog->blames[watchdog->count++];
    *blame = (struct blame){ .route = route };
    snprintf(blame->name, sizeof blame->name, "%s", *name ? name : "(unnamed)");
    return blame;
}

static void close_route(struct master *master, struct blame *blame)
{
    blame->closed = true;
    logs_say(&master->logs, LOG_LEVEL_ERROR, "route %s: closed: it has cost %u workers their lives within %s; it is answered 503 until the next reload",
             blame->name, blame->deaths, text_duration(proc_limits.blame_ms));
    char generation[16];
    snprintf(generation, sizeof generation, "%u", master->generation);
    for (uint32_t i = 0; i < master->worker_count; i++)
        if (master->workers[i].state == WORKER_SERVING || master->workers[i].state == WORKER_STARTING)
            worker_tell(&master->workers[i], CONTROL_CLOSE, blame->route, generation, -1);
}

void watchdog_blame(struct master *master, const struct worker *worker)
{
    const struct mg_stats *stats = worker->stats;
    char name[WATCHDOG_NAME_BYTES];
    follow_generation(master);
    if (!stats->busy || stats->entry < 0 || worker->generation != master->generation)
        return;
    snprintf(name, sizeof name, "%.*s", (int)sizeof name - 1, stats->route_name);
    struct blame *blame = blame_of(&master->watchdog, stats->entry, name);
    if (!blame || blame->closed)
        return;
    if (blame->deaths == 0 || master->now_ms - blame->first_ms > proc_limits.blame_ms) {
        blame->first_ms = master->now_ms;
        blame->deaths = 0;
    }
    if (++blame->deaths >= (uint32_t)proc_limits.blame_deaths)
        close_route(master, blame);
}

/* The next route that is closed, from the place `at` on; NULL: none. */
static const struct blame *next_closed(const struct master *master, uint32_t *at)
{
    const struct watchdog *watchdog = &master->watchdog;
    if (watchdog->generation != master->generation)
        return NULL;
    while (*at < watchdog->count) {
        const struct blame *blame = &watchdog->blames[(*at)++];
        if (blame->closed)
            return blame;
    }
    return NULL;
}

uint32_t watchdog_list(const struct master *master, uint32_t *ret_routes)
{
    uint32_t count = 0, at = 0;
    for (const struct blame *blame; (blame = next_closed(master, &at));)
        ret_routes[count++] = (uint32_t)blame->route;
    return count;
}

void watchdog_json(const struct master *master, struct text *text)
{
    const char *separator = "";
    uint32_t at = 0;
    text_put(text, "[");
    for (const struct blame *blame; (blame = next_closed(master, &at)); separator = ",") {
        text_put(text, "%s", separator);
        text_json(text, blame->name);
    }
    text_put(text, "]");
}

void watchdog_text(const struct master *master, struct text *text)
{
    uint32_t at = 0;
    const struct blame *blame = next_closed(master, &at);
    if (!blame)
        return;
    text_put(text, "closed ");
    for (; blame; blame = next_closed(master, &at))
        text_put(text, " %s", blame->name);
    text_put(text, " (cost workers their lives; answered 503 until the next reload)\n");
}
