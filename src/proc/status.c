/* Shows an instance: as text for people, as JSON for programs. Reads the workers' shared numbers; changes nothing. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "net/net.h"
#include "proc/instance.h"

static const char *const worker_states[] = { "none", "starting", "serving", "draining", "ending", "killed", "resting" };

const char *master_state_name(enum master_state state)
{
    static const char *const names[] = { "waiting for a port", "starting", "serving", "stopping", "ended" };
    return names[state];
}

struct numbers {
    uint64_t accepted, requests, answered[6], bytes_in, bytes_out, refused, gone, log_dropped;
    uint32_t connections;
};

/* What a slot has done, by this process and those before it. */
static void add_worker(struct numbers *numbers, const struct worker *worker)
{
    const struct mg_stats *now = worker->stats, *past = &worker->past;
    numbers->accepted += now->accepted + past->accepted;
    numbers->requests += now->requests + past->requests;
    for (uint32_t i = 0; i < 6; i++)
        numbers->answered[i] += now->answered[i] + past->answered[i];
    numbers->bytes_in += now->bytes_in + past->bytes_in;
    numbers->bytes_out += now->bytes_out + past->bytes_out;
    numbers->refused += now->refused + past->refused;
    numbers->gone += now->gone + past->gone;
    numbers->log_dropped += now->log_dropped + past->log_dropped;
    numbers->connections += now->connections;
}

static const char *log_name(const char *path)
{
    return *path ? path : "off";
}

static int64_t worker_age(const struct master *master, const struct worker *worker)
{
    return worker->pid ? master->now_ms - worker->started_ms : 0;
}

static void text_row(struct text *text, const char *first, const char *pid, const char *state, const char *up, uint32_t restarts,
                     const struct numbers *numbers)
{
    text_put(text, "%-7s %7s  %-9s %8s %9u %12u %12llu", first, pid, state, up, restarts, numbers->connections,
             (unsigned long long)numbers->requests);
    for (uint32_t i = 1; i < 6; i++)
        text_put(text, " %9llu", (unsigned long long)numbers->answered[i]);
    text_put(text, "\n");
}

static void text_workers(const struct master *master, struct text *text)
{
    struct numbers all = { 0 };
    uint32_t restarts = 0;
    text_put(text, "\n%-7s %7s  %-9s %8s %9s %12s %12s %9s %9s %9s %9s %9s\n", "worker", "pid", "state", "up", "restarts", "connections",
             "requests", "1xx", "2xx", "3xx", "4xx", "5xx");
    for (uint32_t i = 0; i < master->worker_count; i++) {
        const struct worker *worker = &master->workers[i];
        struct numbers own = { 0 };
        char number[12], pid[12];
        add_worker(&own, worker);
        add_worker(&all, worker);
        restarts += worker->restarts;
        if (worker->state == WORKER_NONE)
            continue; /* its numbers count, but its slot was given up */
        snprintf(number, sizeof number, "%u", worker->number + 1);
        snprintf(pid, sizeof pid, "%d", worker->pid);
        text_row(text, number, pid, worker_states[worker->state], text_duration(worker_age(master, worker)), worker->restarts, &own);
    }
    text_row(text, "all", "", "", "", restarts, &all);
}

static double mib(double bytes)
{
    return bytes / (1 << 20);
}

/* What is in use of what has a bound, by worker. */
static void text_bounds(const struct master *master, struct text *text)
{
    text_put(text, "\n%-7s %15s %15s %15s %17s %17s  %s\n", "in use", "connections", "requests", "tasks", "output MiB", "Lua MiB",
             "handlers waiting (longest, at most)");
    for (uint32_t i = 0; i < master->worker_count; i++) {
        const struct worker *worker = &master->workers[i];
        const struct mg_stats *stats = worker->stats;
        const struct mg_settings *most = &stats->limits;
        if (worker->state == WORKER_NONE || !worker->pid)
            continue;
        text_put(text, "%-7u %7u/%7.0f %7u/%7.0f %7u/%7.0f %8.1f/%8.1f %8.1f/%8.1f  %u", worker->number + 1, stats->connections, most->connections,
                 stats->running, most->requests, stats->tasks, most->tasks, mib(stats->out_bytes), mib(most->buffer_bytes),
                 mib((double)stats->lua_bytes), mib(most->lua_bytes), stats->waiting);
        if (stats->waiting > 0) {
            text_put(text, " (%s", text_duration(stats->waiting_ms));
            text_put(text, most->request_ms > 0 ? ", %s)" : ")", text_duration((int64_t)most->request_ms));
        }
        text_put(text, "\n");
    }
}

static bool has_files(const struct mg_file_stats *files)
{
    return files->loads + files->hits > 0;
}

static const char *by_age_reason(const struct mg_file_stats *files)
{
    int why = -files->by_age_why;
    return why == 0 ? "their file system tells of no changes" : why == ENOSPC ? "no more watches: raise fs.inotify.max_user_watches"
           : why == EMFILE ? "no inotify: raise fs.inotify.max_user_instances" : strerror(why);
}

/* Files in memory, by worker; nothing when none was asked for. */
static void text_files(const struct master *master, struct text *text)
{
    bool any = false;
    for (uint32_t i = 0; i < master->worker_count; i++) {
        const struct worker *worker = &master->workers[i];
        const struct mg_file_stats *files = &worker->stats->files;
        if (worker->state == WORKER_NONE || !worker->pid || !has_files(files))
            continue;
        if (!any)
            text_put(text, "\n%-7s %9s %15s %12s %10s %10s %10s %9s\n", "files", "kept", "MiB (budget)", "from memory", "loads", "given up", "changes",
                     "watched");
        any = true;
        text_put(text, "%-7u %9u %7.1f/%7.1f %12llu %10llu %10llu %10llu %9u", worker->number + 1, files->entries, mib((double)files->bytes),
                 mib((double)files->budget), (unsigned long long)files->hits, (unsigned long long)files->loads, (unsigned long long)files->evicted,
                 (unsigned long long)files->changed, files->folders);
        if (files->by_age > 0)
            text_put(text, "  %u looked at by age (%s)", files->by_age, by_age_reason(files));
        text_put(text, "\n");
    }
}

void status_text(const struct master *master, struct text *text)
{
    char url[ADDRESS_TEXT_BYTES];
    const struct vm_options *vm = &master->options->vm;
    text_put(text, "%s: %s, pid %ld, up %s, generation %u, moongate %s\n", master->claim.name, master_state_name(master->state), (long)getpid(),
             text_duration(master->now_ms - master->started_ms), master->generation, MG_VERSION);
    text_put(text, "config  %s%s%s\n", vm->command, vm->file ? " " : "", vm->file ? vm->file : "");
    text_put(text, "listen ");
    for (uint32_t i = 0; i < master->listeners.count; i++) {
        address_url(&master->listeners.list[i]->address, url);
        text_put(text, " %s", url);
    }
    text_put(text, "\nlogs    access %s, error %s\n", log_name(master->plan.access_log), log_name(master->plan.error_log));
    text_put(text, "limits  drain %s, backlog %d, descriptors %llu, engine %s\n", text_duration(master->plan.drain_ms), LISTEN_BACKLOG,
             (unsigned long long)master->descriptors, net_engine_name((enum net_engine)master->workers[0].stats->engine));
    watchdog_text(master, text);
    text_workers(master, text);
    text_bounds(master, text);
    stores_text(&master->stores, text);
    text_files(master, text);
}

static void json_numbers(struct text *text, const struct numbers *numbers)
{
    static const char *const classes[] = { "unanswered", "1xx", "2xx", "3xx", "4xx", "5xx" };
    text_put(text, "\"connections\":%u,\"accepted\":%llu,\"requests\":%llu,\"refused\":%llu,\"gone\":%llu,\"log_dropped\":%llu,",
             numbers->connections, (unsigned long long)numbers->accepted, (unsigned long long)numbers->requests, (unsigned long long)numbers->refused,
             (unsigned long long)numbers->gone, (unsigned long long)numbers->log_dropped);
    text_put(text, "\"bytes_in\":%llu,\"bytes_out\":%llu,\"answered\":{", (unsigned long long)numbers->bytes_in,
             (unsigned long long)numbers->bytes_out);
    for (uint32_t i = 0; i < 6; i++)
        text_put(text, "%s\"%s\":%llu", i ? "," : "", classes[i], (unsigned long long)numbers->answered[i]);
    text_put(text, "}");
}

/* How long is waited, and how much there is of what has a bound, each with the bound. */
static void json_bounds(const struct mg_stats *stats, struct text *text)
{
    const struct mg_settings *most = &stats->limits;
    const struct {
        const char *name;
        double now, most;
    } rows[] = {
        { "connections", stats->connections, most->connections },
        { "requests", stats->running, most->requests },
        { "tasks", stats->tasks, most->tasks },
        { "timers", stats->timers, stats->timers_most },
        { "output", stats->out_bytes, most->buffer_bytes },
        { "input", (double)stats->kept_bytes, most->buffer_bytes },
        { "lua", (double)stats->lua_bytes, most->lua_bytes },
    };
    text_put(text, ",\"waits\":{\"handlers\":%u,\"longest_ms\":%u,\"most_ms\":%.0f},\"bounds\":{", stats->waiting, stats->waiting_ms,
             most->request_ms);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        text_put(text, "%s\"%s\":{\"now\":%.0f,\"most\":%.0f}", i ? "," : "", rows[i].name, rows[i].now, rows[i].most);
    text_put(text, "}");
}

static void json_files(const struct mg_file_stats *files, struct text *text)
{
    const struct {
        const char *name;
        uint64_t value;
    } rows[] = {
        { "entries", files->entries }, { "failed", files->failed }, { "bytes", files->bytes }, { "budget", files->budget }, { "hits", files->hits },
        { "loads", files->loads }, { "loading", files->loading }, { "evicted", files->evicted }, { "changed", files->changed },
        { "folders_watched", files->folders }, { "events", files->events }, { "overflows", files->overflows }, { "by_age", files->by_age },
    };
    text_put(text, ",\"files\":{");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        text_put(text, "\"%s\":%llu,", rows[i].name, (unsigned long long)rows[i].value);
    text_put(text, "\"by_age_why\":");
    if (files->by_age > 0)
        text_json(text, by_age_reason(files));
    else
        text_put(text, "null");
    text_put(text, "}");
}

static void json_worker(const struct master *master, const struct worker *worker, struct text *text)
{
    const struct mg_stats *stats = worker->stats;
    struct numbers own = { 0 };
    add_worker(&own, worker);
    text_put(text, "{\"number\":%u,\"pid\":%d,\"state\":\"%s\",\"uptime_ms\":%lld,\"restarts\":%u,", worker->number + 1, worker->pid,
             worker_states[worker->state], (long long)worker_age(master, worker), worker->restarts);
    json_numbers(text, &own);
    text_put(text, ",\"running\":%u,\"timers\":%u,\"out_bytes\":%u,\"generation\":%u,\"engine\":\"%s\",\"lua\":{\"bytes\":%llu,\"refused\":%llu}",
             stats->running, stats->timers, stats->out_bytes, worker->generation,
             net_engine_name((enum net_engine)stats->engine), (unsigned long long)stats->lua_bytes, (unsigned long long)stats->lua_refused);
    json_bounds(stats, text);
    json_files(&stats->files, text);
    text_put(text, "}");
}

static void json_workers(const struct master *master, struct text *text)
{
    struct numbers all = { 0 };
    const char *comma = "";
    text_put(text, "\"workers\":[");
    for (uint32_t i = 0; i < master->worker_count; i++) {
        add_worker(&all, &master->workers[i]);
        if (master->workers[i].state == WORKER_NONE)
            continue; /* its numbers count, but its slot was given up */
        text_put(text, "%s", comma);
        json_worker(master, &master->workers[i], text);
        comma = ",";
    }
    text_put(text, "],\"total\":{");
    json_numbers(text, &all);
    text_put(text, "}");
}

static void json_string(struct text *text, const char *key, const char *value)
{
    text_put(text, "\"%s\":", key);
    if (value)
        text_json(text, value);
    else
        text_put(text, "null");
    text_put(text, ",");
}

static const char *const reload_states[] = { "idle", "loading", "opening", "preparing", "committing" };

/* Whether one is going on, and how many wait for it or the next. */
static void json_reload(const struct master *master, struct text *text)
{
    uint32_t waiting = 0;
    for (uint32_t i = 0; i < CONTROL_CLIENTS_MAX; i++)
        waiting += master->control.clients[i].state == CLIENT_WAITING && master->control.clients[i].wait == WAIT_RELOAD;
    text_put(text, "\"reload\":{\"state\":\"%s\",\"waiting\":%u},", reload_states[master->reload.state], waiting);
}

void status_json(const struct master *master, struct text *text)
{
    char url[ADDRESS_TEXT_BYTES];
    text_put(text, "{");
    json_string(text, "name", master->claim.name);
    json_string(text, "version", MG_VERSION);
    json_string(text, "state", master_state_name(master->state));
    json_string(text, "command", master->options->vm.command);
    json_string(text, "config", master->options->vm.file);
    json_string(text, "access_log", log_name(master->plan.access_log));
    json_string(text, "error_log", log_name(master->plan.error_log));
    text_put(text, "\"pid\":%ld,\"uptime_ms\":%lld,\"generation\":%u,\"watches\":%s,\"listen\":[", (long)getpid(),
             (long long)(master->now_ms - master->started_ms), master->generation, master->watch.state != WATCH_OFF ? "true" : "false");
    for (uint32_t i = 0; i < master->listeners.count; i++) {
        address_url(&master->listeners.list[i]->address, url);
        text_put(text, "%s", i ? "," : "");
        text_json(text, url);
    }
    text_put(text, "],\"closed_routes\":");
    watchdog_json(master, text);
    text_put(text, ",\"limits\":{\"drain_ms\":%lld,\"backlog\":%d,\"descriptors\":%llu},", (long long)master->plan.drain_ms,
             LISTEN_BACKLOG, (unsigned long long)master->descriptors);
    json_reload(master, text);
    stores_json(&master->stores, text);
    json_workers(master, text);
    text_put(text, "}\n");
}
