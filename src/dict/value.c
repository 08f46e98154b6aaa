/* Values: read, set, counted up, given a time to live, removed. A value is written to blocks that nobody knows of and then put in the
 * place of the one before. */
#include <errno.h>
#include <math.h>

#include "dict/inner.h"
#include "dict/word.inl.h"

static bool has_bytes(const struct entry *entry)
{
    return entry->kind == DICT_TEXT || entry->kind == DICT_TABLE;
}

static void describe(const struct entry *entry, uint64_t now_ms, struct dict_value *ret)
{
    *ret = (struct dict_value){
        .kind = entry->kind,
        .bytes = entry->bytes,
        .number = number_of(entry->word),
        .version = (double)entry->version,
        .ttl_ms = entry->expires_ms ? (double)(entry->expires_ms - now_ms) : 0,
    };
}

static int get(struct access *access, struct dict_value *ret, char *ret_bytes, uint32_t room)
{
    struct shard *shard = access->shard;
    uint32_t index = entry_find(access);
    if (!index) {
        shard->misses++;
        return -ENOENT;
    }
    struct entry *entry = entry_at(shard, index);
    describe(entry, access->now_ms, ret);
    if (has_bytes(entry) && entry->bytes > room)
        return -EMSGSIZE;
    entry->visited = 1;
    shard->hits++;
    if (has_bytes(entry))
        chain_read(shard, index, ENTRY_ROOM, entry->key_bytes, ret_bytes, entry->bytes);
    return 0;
}

int dict_get(struct dict *dict, struct dict_key key, double now_ms, struct dict_value *ret, char *ret_bytes, uint32_t room)
{
    struct access access;
    int error = access_begin(&access, dict, key, now_ms);
    if (error)
        return error;
    error = get(&access, ret, ret_bytes, room);
    shard_unlock(access.shard);
    return error;
}

/* ---- set ---- */

static int may_set(const struct access *access, uint32_t index, enum dict_when when, double version)
{
    double now = index ? (double)entry_at(access->shard, index)->version : 0;
    if (when == DICT_ABSENT && index)
        return -EEXIST;
    if (when == DICT_PRESENT && !index)
        return -ENOENT;
    return when == DICT_SAME && now != version ? -EAGAIN : 0;
}

static int set(struct access *access, const struct dict_value *value, const char *bytes, enum dict_when when, bool may_evict)
{
    struct shard *shard = access->shard;
    uint32_t old = entry_find(access), count = value->kind == DICT_TEXT || value->kind == DICT_TABLE ? value->bytes : 0;
    int error = may_set(access, old, when, value->version);
    if (error)
        return error;
    access->protect = old;
    error = entry_room(access, blocks_for((uint64_t)access->key.bytes + count, ENTRY_ROOM), may_evict);
    if (error)
        return error;
    uint32_t index = entry_make(access, (uint8_t)value->kind, count);
    struct entry *entry = entry_at(shard, index);
    entry->word = word_of(value->number);
    entry->expires_ms = expiry(access->now_ms, value->ttl_ms);
    chain_write(shard, index, ENTRY_ROOM, access->key.bytes, bytes, count);
    if (old)
        entry_replace(access, old, index);
    else
        entry_link(access, index);
    commit(shard);
    shard->sets++;
    entry_sweep(access);
    return 0;
}

int dict_set(struct dict *dict, struct dict_key key, double now_ms, const struct dict_value *value, const char *bytes,
               enum dict_when when, int may_evict)
{
    struct access access;
    int error = access_begin(&access, dict, key, now_ms);
    if (error)
        return error;
    error = set(&access, value, bytes, when, may_evict);
    shard_unlock(access.shard);
    return error ? error : (int)access.evicted;
}

/* ---- counting ---- */

static int incr_new(struct access *access, double number, double ttl_ms)
{
    struct dict_value value = { .kind = DICT_NUMBER, .number = number, .ttl_ms = ttl_ms };
    return set(access, &value, NULL, DICT_ABSENT, true);
}

static int incr(struct access *access, double by, double *ret_number)
{
    struct shard *shard = access->shard;
    uint32_t index = entry_find(access);
    if (!index)
        return -ENOENT;
    struct entry *entry = entry_at(shard, index);
    if (entry->kind != DICT_NUMBER)
        return -EINVAL;
    *ret_number = number_of(entry->word) + by;
    put64(shard, &entry->word, word_of(*ret_number));
    put64(shard, &entry->version, version_next(shard));
    commit(shard);
    entry->visited = 1;
    return 0;
}

int dict_incr(struct dict *dict, struct dict_key key, double now_ms, double by, int has_initial, double initial, double ttl_ms,
                double *ret_number)
{
    struct access access;
    int error = access_begin(&access, dict, key, now_ms);
    if (error)
        return error;
    error = incr(&access, by, ret_number);
    if (error == -ENOENT && has_initial) {
        *ret_number = initial + by;
        error = incr_new(&access, *ret_number, ttl_ms);
    }
    shard_unlock(access.shard);
    return error;
}

/* ---- life and death ---- */

int dict_expire(struct dict *dict, struct dict_key key, double now_ms, double ttl_ms)
{
    struct access access;
    int error = access_begin(&access, dict, key, now_ms);
    if (error)
        return error;
    uint32_t index = entry_find(&access);
    if (index) {
        put64(access.shard, &entry_at(access.shard, index)->expires_ms, expiry(access.now_ms, ttl_ms));
        commit(access.shard);
    }
    shard_unlock(access.shard);
    return index ? 0 : -ENOENT;
}

static int delete(struct access *access, const double *version)
{
    uint32_t index = entry_find(access);
    if (!index)
        return -ENOENT;
    if (version && (double)entry_at(access->shard, index)->version != *version)
        return -EAGAIN;
    entry_remove(access->shard, index);
    access->shard->deletes++;
    entry_sweep(access);
    return 0;
}

int dict_delete(struct dict *dict, struct dict_key key, double now_ms, const double *version)
{
    struct access access;
    int error = access_begin(&access, dict, key, now_ms);
    if (error)
        return error;
    error = delete(&access, version);
    shard_unlock(access.shard);
    return error;
}
