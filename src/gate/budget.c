/* One budget of memory for files, for all workers of an instance. Each has what the others leave of it, and its own part of it at least: who is
 * alone in having much to keep may keep it all; where all do, each comes to its part. A worker tells what it keeps, looks every LOOK_MS at what
 * the others do, and gives up what is too much. Contents are not shared: what two workers are asked for is kept twice. */
#include "gate/side.h"

enum { LOOK_MS = 50, AGAIN_MS = 200 };

static const struct mg_stats *stats_at(const struct mg_worker *w, uint32_t worker)
{
    return (const struct mg_stats *)(const void *)(w->all_stats + (uint64_t)worker * w->stats_each);
}

/* How many workers there are; what those besides this one keep. */
static uint32_t workers_count(const struct mg_worker *w, double *ret_others)
{
    uint32_t workers = 1;
    *ret_others = 0;
    for (uint32_t i = 0; w->all_stats && i < w->stats_count; i++) {
        const struct mg_stats *stats = stats_at(w, i);
        if (stats == w->stats || stats->pid == 0)
            continue;
        workers++;
        *ret_others += (double)stats->files.bytes;
    }
    return workers;
}

double budget_of_worker(const struct mg_worker *w)
{
    double others, part = w->settings.cache_bytes / workers_count(w, &others), left = w->settings.cache_bytes - others;
    return left > part ? left : part;
}

static void look(struct mg_worker *w)
{
    double now = net_now_ms(w->net);
    if (!w->all_stats || now - w->side->budget_ms < LOOK_MS)
        return;
    w->side->budget_ms = now;
    double others, part = w->settings.cache_bytes / workers_count(w, &others);
    side_adapt_cache(w);
    if (!w->side->budget_again && others > 0 && (double)w->stats->files.bytes > part) /* what may be another's: an idle worker has to look, too */
        w->side->budget_again = net_timer_start(w->net, AGAIN_MS, USER_BUDGET, 0) >= 0;
}

void budget_publish(struct mg_worker *w)
{
    struct mg_file_stats *to = &w->stats->files;
    struct file_cache_facts facts;
    look(w);
    file_cache_facts(w->side->cache, &facts);
    *to = (struct mg_file_stats){
        .entries = facts.entries, .failed = facts.failed, .folders = facts.folders_watched, .by_age = facts.by_age, .by_age_why = facts.by_age_why,
        .loading = facts.loading, .bytes = facts.bytes + facts.bytes_lent, .budget = facts.bytes_max, .hits = facts.hits, .loads = facts.loads,
        .evicted = facts.evicted, .changed = facts.changed, .events = facts.events, .overflows = facts.overflows,
    };
}

void budget_on_timer(struct mg_worker *w)
{
    w->side->budget_again = false;
}
