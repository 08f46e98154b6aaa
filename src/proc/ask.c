/* Collects the workers' answers to a question. */
#include "proc/ask.h"

#include <stdlib.h>
#include <string.h>

#include "proc/changes.h"
#include "proc/instance.h"
#include "proc/limits.h"

static bool hears(const struct worker *worker)
{
    return (worker->state == WORKER_SERVING || worker->state == WORKER_DRAINING) && worker->control >= 0;
}

static void ask_free(struct ask *ask)
{
    for (uint32_t i = 0; i < ask->part_count; i++)
        text_fini(&ask->parts[i].text);
    free(ask->parts);
    free(ask->change);
    *ask = (struct ask){ 0 };
}

static struct ask *ask_place(struct asks *asks)
{
    for (uint32_t i = 0; i < CONTROL_CLIENTS_MAX; i++)
        if (asks->list[i].ticket == 0)
            return &asks->list[i];
    return NULL;
}

static struct ask *ask_begin(struct master *master, struct client *client, const char *question)
{
    struct ask *ask = ask_place(&master->asks);
    struct ask_part *parts = ask ? calloc(master->worker_count + 1, sizeof *parts) : NULL;
    if (!parts || strlen(question) >= sizeof(((struct control_message *)0)->text)) {
        text_put(&client->answer, parts ? "error: the question is too long\n" : "error: no room for another question: try again\n");
        free(parts);
        control_finish(client, master->now_ms);
        return NULL;
    }
    *ask = (struct ask){ .ticket = ++master->asks.tickets_given, .due_ms = master->now_ms + proc_limits.ask_ms, .parts = parts };
    client->wait = WAIT_ASK;
    client->ticket = ask->ticket;
    for (uint32_t i = 0; i < master->worker_count; i++) {
        const struct worker *worker = &master->workers[i];
        if (worker->state == WORKER_NONE)
            continue;
        ask->parts[ask->part_count++] = (struct ask_part){ .worker = i, .done = !hears(worker) };
        if (hears(worker))
            worker_tell(worker, CONTROL_ASK, ask->ticket, question, -1);
    }
    return ask;
}

void ask_workers(struct master *master, struct client *client, const char *question)
{
    ask_begin(master, client, question);
}

void ask_to_change(struct master *master, struct client *client, const char *line)
{
    struct text question = { 0 };
    text_put(&question, "change ");
    text_json(&question, line);
    struct ask *ask = ask_begin(master, client, question.at);
    if (ask)
        ask->change = strdup(line);
    text_fini(&question);
}

/* Whether some worker has done it, and none has refused. */
static bool is_agreed(const struct ask *ask)
{
    static const char refusal[] = "{\"error\"";
    uint32_t done = 0;
    for (uint32_t i = 0; i < ask->part_count; i++) {
        const struct text *text = &ask->parts[i].text;
        if (!ask->parts[i].done || text->bytes == 0)
            continue;
        if (text->bytes >= sizeof refusal - 1 && memcmp(text->at, refusal, sizeof refusal - 1) == 0)
            return false;
        done++;
    }
    return done > 0;
}

/* The part that a worker still owes; NULL: none. */
static struct ask_part *part_of(struct master *master, const struct worker *worker, double ticket)
{
    uint32_t entry = (uint32_t)(worker - master->workers);
    for (uint32_t i = 0; i < CONTROL_CLIENTS_MAX; i++) {
        struct ask *ask = &master->asks.list[i];
        if (ask->ticket == 0 || (double)ask->ticket != ticket)
            continue;
        for (uint32_t at = 0; at < ask->part_count; at++)
            if (ask->parts[at].worker == entry && !ask->parts[at].done)
                return &ask->parts[at];
    }
    return NULL;
}

void ask_hear(struct master *master, const struct worker *worker, double ticket, const char *text, uint32_t bytes, bool last)
{
    struct ask_part *part = part_of(master, worker, ticket);
    if (!part)
        return;
    text_add(&part->text, text, bytes);
    part->done = last;
}

void ask_worker_gone(struct master *master, const struct worker *worker)
{
    for (uint32_t i = 0; i < CONTROL_CLIENTS_MAX; i++) {
        struct ask_part *part = part_of(master, worker, master->asks.list[i].ticket);
        if (!part)
            continue;
        text_fini(&part->text);
        part->done = true;
    }
}

/* Whether nobody owes anything. */
static bool ask_is_whole(const struct ask *ask)
{
    for (uint32_t i = 0; i < ask->part_count; i++)
        if (!ask->parts[i].done)
            return false;
    return true;
}

static void put_answers(const struct master *master, const struct ask *ask, struct text *text)
{
    text_put(text, "[");
    for (uint32_t i = 0; i < ask->part_count; i++) {
        const struct ask_part *part = &ask->parts[i];
        const struct worker *worker = &master->workers[part->worker];
        text_put(text, "%s{\"worker\":%u,\"pid\":%d,\"answer\":", i ? "," : "", worker->number + 1, worker->pid);
        if (part->done && part->text.bytes && !part->text.lost)
            text_add(text, part->text.at, part->text.bytes);
        else
            text_put(text, "null");
        text_put(text, "}");
    }
    text_put(text, "]\n");
}

/* Gives what there is to the client, if it still waits. */
static void ask_finish(struct master *master, struct ask *ask)
{
    for (uint32_t i = 0; i < CONTROL_CLIENTS_MAX; i++) {
        struct client *client = &master->control.clients[i];
        if (client->state != CLIENT_WAITING || client->wait != WAIT_ASK || client->ticket != ask->ticket)
            continue;
        put_answers(master, ask, &client->answer);
        if (client->answer.lost) {
            text_fini(&client->answer);
            text_put(&client->answer, "error: the answers of the workers are too long\n");
        }
        control_finish(client, master->now_ms);
    }
    if (ask->change && is_agreed(ask))
        changes_stand(master, ask->change, NULL);
    ask_free(ask);
}

void ask_turn(struct master *master)
{
    for (uint32_t i = 0; i < CONTROL_CLIENTS_MAX; i++) {
        struct ask *ask = &master->asks.list[i];
        if (ask->ticket && (ask->due_ms <= master->now_ms || ask_is_whole(ask)))
            ask_finish(master, ask);
    }
}

int64_t ask_due(const struct asks *asks)
{
    int64_t due = INT64_MAX;
    for (uint32_t i = 0; i < CONTROL_CLIENTS_MAX; i++) {
        const struct ask *ask = &asks->list[i];
        int64_t of_ask = ask->ticket == 0 ? INT64_MAX : ask_is_whole(ask) ? 0 : ask->due_ms;
        due = of_ask < due ? of_ask : due;
    }
    return due;
}

void ask_fini(struct asks *asks)
{
    for (uint32_t i = 0; i < CONTROL_CLIENTS_MAX; i++)
        ask_free(&asks->list[i]);
}
