/* What users hear of a reload: its result to those who asked and to the error log; and the files that are watched from then on. */
#include <stdio.h>
#include <string.h>

#include "proc/instance.h"

static const char *cause_text(uint32_t causes)
{
    return causes & RELOAD_BY_COMMAND ? "moongate reload" : causes & RELOAD_BY_SIGNAL ? "SIGHUP" : "a file has changed";
}

void reload_log_lines(struct master *master, enum log_level level, const struct text *text)
{
    char line[LOG_LINE_BYTES];
    for (uint32_t at = 0; at < text->bytes;) {
        const char *from = text->at + at, *end = memchr(from, '\n', text->bytes - at);
        uint32_t bytes = end ? (uint32_t)(end - from) : text->bytes - at;
        snprintf(line, sizeof line, "%.*s", (int)(bytes < sizeof line ? bytes : sizeof line - 1), from);
        logs_say(&master->logs, level, "reload: %s", line);
        at += bytes + 1;
    }
}

/* Sends the answer to everybody who waited for this reload. */
static void answer(struct master *master, const struct text *text)
{
    for (uint32_t i = 0; i < CONTROL_CLIENTS_MAX; i++) {
        struct client *client = &master->control.clients[i];
        if (client->state != CLIENT_WAITING || client->wait != WAIT_RELOAD || client->ticket != master->reload.round)
            continue;
        text_add(&client->answer, text->at, text->bytes);
        control_finish(client, master->now_ms);
    }
}

void reload_tell_failed(struct master *master)
{
    const struct reload *reload = &master->reload;
    struct text text = { 0 };
    text_put(&text, "failed\n");
    if (reload->problems.bytes)
        text_add(&text, reload->problems.at, reload->problems.bytes);
    if (reload->problems.bytes && reload->problems.at[reload->problems.bytes - 1] != '\n')
        text_put(&text, "\n");
    text_put(&text, "nothing has changed: generation %u serves on\n", master->generation);
    if (reload->causes != RELOAD_BY_COMMAND)
        reload_log_lines(master, LOG_LEVEL_ERROR, &reload->problems);
    logs_say(&master->logs, reload->causes == RELOAD_BY_COMMAND ? LOG_LEVEL_INFO : LOG_LEVEL_ERROR,
             "reload (%s): nothing has changed: generation %u serves on", cause_text(reload->causes), master->generation);
    answer(master, &text);
    text_fini(&text);
}

static void put_addresses(const struct master *master, struct text *text)
{
    char url[ADDRESS_TEXT_BYTES];
    text_put(text, "; listens on");
    for (uint32_t i = 0; i < master->listeners.count; i++) {
        address_url(&master->listeners.list[i]->address, url);
        text_put(text, " %s", url);
    }
}

/* Workers that are not there yet, when the answer is due. */
static void put_missing(const struct master *master, struct text *text)
{
    for (uint32_t slot = 0; slot < master->slots; slot++) {
        const struct worker *worker = supervise_of_slot(master, slot);
        if (!worker || worker->state != WORKER_SERVING || worker->generation != master->generation)
            text_put(text, "; worker %u does not serve yet", slot + 1);
    }
}

void reload_tell_done(struct master *master)
{
    const struct reload *reload = &master->reload;
    struct text text = { 0 };
    text_put(&text, "generation %u in %u worker%s, ", master->generation, master->slots, master->slots == 1 ? "" : "s");
    if (reload->routes_changed)
        text_put(&text, "%u route%s changed, ", reload->routes_changed, reload->routes_changed == 1 ? "" : "s");
    else
        text_put(&text, "no route changed, ");
    text_put(&text, "%lld ms", (long long)(master->now_ms - reload->began_ms));
    if (reload->listeners_changed)
        put_addresses(master, &text);
    put_missing(master, &text);
    logs_say(&master->logs, LOG_LEVEL_INFO, "reload (%s): %s", cause_text(reload->causes), text.at ? text.at : "");
    text_put(&text, "\n");
    answer(master, &text);
    text_fini(&text);
}

void reload_tell_stopping(struct master *master)
{
    for (uint32_t i = 0; i < CONTROL_CLIENTS_MAX; i++) {
        struct client *client = &master->control.clients[i];
        if (client->state != CLIENT_WAITING || client->wait != WAIT_RELOAD)
            continue;
        text_put(&client->answer, "error: reload: the instance is stopping\n");
        control_finish(client, master->now_ms);
    }
}

void reload_warn_name(struct master *master)
{
    char name[NAME_BYTES];
    const struct plan *plan = &master->reload.plan;
    if (master->options->vm.name || !*plan->name)
        return;
    name_clean(plan->name, name);
    if (strcmp(plan->name, master->plan.name) != 0 && strcmp(name, master->claim.name) != 0)
        logs_say(&master->logs, LOG_LEVEL_WARN, "reload: name: this instance stays \"%s\" until it is started again as \"%s\"", master->claim.name,
                 name);
}

void reload_warn_engine(struct master *master)
{
    const char *now = master->plan.engine, *next = master->reload.plan.engine;
    if (strcmp(now, next) != 0)
        logs_say(&master->logs, LOG_LEVEL_WARN, "reload: engine: each worker keeps the one it has; \"%s\" holds after a restart or `moongate upgrade`",
                 next);
}

void reload_watch(struct master *master)
{
    char problem[WATCH_PROBLEM_BYTES];
    const struct plan *of[] = { &master->plan, &master->reload.plan }; /* the second is empty when it has become the first */
    const char *files[WATCH_FILES_MAX];
    uint32_t count = 0;
    for (uint32_t i = 0; i < 2; i++)
        for (uint32_t at = 0; at < of[i]->file_count && count < WATCH_FILES_MAX; at++)
            files[count++] = of[i]->files[at];
    bool on = master->options->vm.watch || master->plan.watch;
    bool polled = master->watch.state == WATCH_POLLING;
    if (!on)
        watch_fini(&master->watch);
    else if (!watch_set(&master->watch, files, count, master->reload.began_files, master->now_ms, problem) && !polled)
        logs_say(&master->logs, LOG_LEVEL_WARN, "watch: %s; the files are looked at each second instead", problem);
}
