/* Limits of rate as values: token buckets and sliding windows. A clock that another worker reads a little earlier counts as standing still. */
#include <errno.h>
#include <math.h>

#include "dict/inner.h"
#include "dict/word.inl.h"

/* The entry of a limit, made when there is none; that is committed with what keep() does. 0 or -errno, and nothing is begun. */
static int limit_entry(struct access *access, enum dict_kind kind, uint64_t word, uint64_t other, struct entry **ret_entry)
{
    struct shard *shard = access->shard;
    uint32_t index = entry_find(access);
    if (!index) {
        int error = entry_room(access, blocks_for(access->key.bytes, ENTRY_ROOM), true);
        if (error)
            return error;
        index = entry_make(access, (uint8_t)kind, 0);
        entry_at(shard, index)->word = word;
        entry_at(shard, index)->other = other;
        entry_link(access, index);
    }
    *ret_entry = entry_at(shard, index);
    (*ret_entry)->visited = 1;
    return (*ret_entry)->kind == kind ? 0 : -EINVAL;
}

static void keep(struct access *access, struct entry *entry, uint64_t word, uint64_t other, double for_ms)
{
    struct shard *shard = access->shard;
    put64(shard, &entry->word, word);
    put64(shard, &entry->other, other);
    put64(shard, &entry->expires_ms, expiry(access->now_ms, for_ms + 1));
    put64(shard, &entry->version, version_next(shard));
    commit(shard);
    entry_sweep(access);
}

/* ---- token buckets ---- */

static int bucket(struct access *access, double now_ms, double per_ms, double burst, double cost, struct dict_verdict *ret)
{
    struct entry *entry;
    int error = limit_entry(access, DICT_BUCKET, word_of(burst), word_of(now_ms), &entry);
    if (error)
        return error;
    double since = number_of(entry->other), now = now_ms > since ? now_ms : since;
    double tokens = fmin(burst, number_of(entry->word) + (now - since) * per_ms);
    ret->allowed = tokens + 1e-9 >= cost;
    if (ret->allowed)
        tokens = fmax(0, tokens - cost);
    ret->left = tokens;
    ret->wait_ms = cost > burst ? -1 : ret->allowed ? 0 : (cost - tokens) / per_ms;
    keep(access, entry, word_of(tokens), word_of(now), (burst - tokens) / per_ms);
    return 0;
}

int dict_bucket(struct dict *dict, struct dict_key key, double now_ms, double per_ms, double burst, double cost, struct dict_verdict *ret)
{
    struct access access;
    int error = access_begin(&access, dict, key, now_ms);
    if (error)
        return error;
    error = bucket(&access, now_ms, per_ms, burst, cost, ret);
    shard_unlock(access.shard);
    return error;
}

/* ---- sliding windows ---- */

/* What one window has counted and the one before it; `from_ms`: when it began. */
struct view {
    double from_ms;
    uint32_t before, now;
};

static struct view view_of(const struct entry *entry, double now_ms, double window_ms)
{
    struct view view = { number_of(entry->word), (uint32_t)(entry->other >> 32), (uint32_t)entry->other };
    double passed = floor((now_ms - view.from_ms) / window_ms);
    if (passed >= 1) {
        view.before = passed < 2 ? view.now : 0;
        view.now = 0;
        view.from_ms += passed * window_ms;
    }
    return view;
}

/* Until there is room for `cost` more; both windows as they are. What is in view of the window before counts in whole numbers. */
static double window_wait(const struct view *view, double gone, double window_ms, double most, double cost)
{
    if (cost > most)
        return -1;
    double room = floor(most - cost - view->now);
    if (room >= 0) /* so much of the window before has to leave */
        return fmax(0, (1 - (room + 1) / view->before) * window_ms - gone);
    return window_ms - gone + fmax(0, 1 - (floor(most - cost) + 1) / view->now) * window_ms;
}

static int window(struct access *access, double now_ms, double window_ms, double most, double cost, struct dict_verdict *ret)
{
    struct entry *entry;
    int error = limit_entry(access, DICT_WINDOW, word_of(now_ms), 0, &entry);
    if (error)
        return error;
    struct view view = view_of(entry, now_ms, window_ms);
    double gone = fmax(0, now_ms - view.from_ms), counted = floor(view.before * fmax(0, 1 - gone / window_ms)) + view.now;
    ret->allowed = counted + cost <= most + 1e-9;
    ret->wait_ms = ret->allowed ? 0 : window_wait(&view, gone, window_ms, most, cost);
    if (ret->allowed) {
        view.now += (uint32_t)cost;
        counted += cost;
    }
    ret->left = fmax(0, most - counted);
    keep(access, entry, word_of(view.from_ms), (uint64_t)view.before << 32 | view.now, 2 * window_ms - gone);
    return 0;
}

int dict_window(struct dict *dict, struct dict_key key, double now_ms, double window_ms, double most, double cost, struct dict_verdict *ret)
{
    struct access access;
    int error = access_begin(&access, dict, key, now_ms);
    if (error)
        return error;
    error = window(&access, now_ms, window_ms, most, cost, ret);
    shard_unlock(access.shard);
    return error;
}
