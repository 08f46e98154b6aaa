/* Makes and shows the dictionaries of an instance. */
#include "proc/stores.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "dict/dict.h"

enum { PAGE = 4096 };

int stores_open(struct stores *ret_stores, int inherited)
{
    struct dict_area *area = inherited >= 0 ? dict_area_open(inherited) : NULL;
    if (inherited >= 0 && !area)
        close(inherited); /* laid out by another version */
    int fd = area ? inherited : dict_area_make();
    if (fd >= 0 && !area)
        area = dict_area_open(fd);
    *ret_stores = (struct stores){ fd, area };
    return fd < 0 ? fd : area ? 0 : -ENOMEM;
}

void stores_close(struct stores *stores)
{
    dict_area_close(stores->area);
    if (stores->fd >= 0)
        close(stores->fd);
    *stores = (struct stores){ .fd = -1 };
}

static void store_make(struct stores *stores, const struct plan_shared *wanted, struct logs *logs)
{
    struct dict_key name = { wanted->name, (uint32_t)strlen(wanted->name) };
    struct dict *dict = NULL;
    struct dict_counts counts = { 0 };
    int error = dict_area_store(stores->area, name, wanted->bytes, &dict);
    if (error) {
        logs_say(logs, LOG_LEVEL_ERROR, "shared.%s: it cannot be made: %s", wanted->name, error == -ENOSPC ? "there are 64 already" : strerror(-error));
        return;
    }
    dict_count(dict, &counts);
    if (counts.bytes < wanted->bytes || counts.bytes >= wanted->bytes + PAGE)
        logs_say(logs, LOG_LEVEL_WARN, "shared.%s: it has %.0f bytes since it was made; another size takes a new start", wanted->name, counts.bytes);
}

void stores_make(struct stores *stores, const struct plan *plan, struct logs *logs)
{
    for (uint32_t i = 0; i < plan->shared_count; i++)
        store_make(stores, &plan->shared[i], logs);
}

static double mib(double bytes)
{
    return bytes / (1 << 20);
}

void stores_text(const struct stores *stores, struct text *text)
{
    uint32_t count = stores->area ? dict_area_count(stores->area) : 0;
    if (count)
        text_put(text, "\n%-23s %15s %10s %12s %12s %10s %10s %8s %8s\n", "shared", "MiB", "entries", "hits", "misses", "expired", "evicted", "refused",
                 "repaired");
    for (uint32_t i = 0; i < count; i++) {
        struct dict *dict = dict_area_at(stores->area, i);
        struct dict_counts counts;
        if (!dict)
            continue;
        dict_count(dict, &counts);
        text_put(text, "%-23s %7.1f/%7.1f %10.0f %12.0f %12.0f %10.0f %10.0f %8.0f %8.0f\n", counts.name, mib(counts.used), mib(counts.bytes),
                 counts.entries, counts.hits, counts.misses, counts.expired, counts.evicted, counts.refused, counts.repaired);
    }
}

void stores_json(const struct stores *stores, struct text *text)
{
    uint32_t count = stores->area ? dict_area_count(stores->area) : 0;
    text_put(text, "\"shared\":[");
    for (uint32_t i = 0; i < count; i++) {
        struct dict *dict = dict_area_at(stores->area, i);
        struct dict_counts counts = { 0 };
        if (dict)
            dict_count(dict, &counts);
        text_put(text, "%s{\"name\":", i ? "," : "");
        text_json(text, counts.name);
        text_put(text, ",\"bytes\":%.0f,\"used\":%.0f,\"entries\":%.0f,\"hits\":%.0f,\"misses\":%.0f,\"sets\":%.0f,\"deletes\":%.0f,", counts.bytes,
                 counts.used, counts.entries, counts.hits, counts.misses, counts.sets, counts.deletes);
        text_put(text, "\"expired\":%.0f,\"evicted\":%.0f,\"refused\":%.0f,\"repaired\":%.0f}", counts.expired, counts.evicted, counts.refused,
                 counts.repaired);
    }
    text_put(text, "],");
}
