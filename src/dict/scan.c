/* The whole of a dictionary: its keys piece by piece, its numbers, its end. */
#include <errno.h>
#include <string.h>

#include "base/must.h"
#include "dict/inner.h"

/* What one call of dict_scan() looks at, at most. */
enum { BUCKETS_MAX = 4096, FLUSHED_MAX = 64 };

struct keys {
    char *at;
    uint32_t used, room;
};

static bool begins(struct shard *shard, uint32_t index, struct dict_key prefix)
{
    return entry_at(shard, index)->key_bytes >= prefix.bytes && chain_begins(shard, index, ENTRY_ROOM, prefix.at, prefix.bytes);
}

static bool keys_add(struct keys *keys, struct shard *shard, uint32_t index)
{
    uint16_t count = entry_at(shard, index)->key_bytes;
    if (keys->used + sizeof count + count > keys->room)
        return false;
    memcpy(keys->at + keys->used, &count, sizeof count);
    chain_read(shard, index, ENTRY_ROOM, 0, keys->at + keys->used + sizeof count, count);
    keys->used += (uint32_t)sizeof count + count;
    return true;
}

/* All keys of a bucket, or none. */
static bool scan_bucket(struct shard *shard, uint32_t bucket, struct dict_key prefix, uint64_t now_ms, struct keys *keys)
{
    uint32_t used = keys->used;
    for (uint32_t index = *bucket_at(shard, bucket); index; index = entry_at(shard, index)->chain) {
        if (entry_is_over(entry_at(shard, index), now_ms) || !begins(shard, index, prefix) || keys_add(keys, shard, index))
            continue;
        keys->used = used;
        return false;
    }
    return true;
}

/* A cursor counts buckets, those of all shards in a row. */
double dict_scan(struct dict *dict, double cursor, struct dict_key prefix, double now_ms, char *ret_keys, uint32_t room, uint32_t *ret_bytes)
{
    struct keys keys = { ret_keys, 0, room };
    uint32_t buckets = shard_at(dict, 0)->buckets;
    uint64_t end = (uint64_t)dict->shards * buckets, at = cursor >= 0 && cursor < (double)end ? (uint64_t)cursor : end;
    *ret_bytes = 0;
    if (at == end)
        return 0;
    struct shard *shard = shard_at(dict, (uint32_t)(at / buckets));
    uint64_t until = (at / buckets + 1) * buckets;
    until = until - at > BUCKETS_MAX ? at + BUCKETS_MAX : until;
    int error = shard_lock(shard);
    if (error)
        return error;
    uint64_t from = at;
    while (at < until && scan_bucket(shard, (uint32_t)(at % buckets), prefix, (uint64_t)now_ms, &keys))
        at++;
    shard_unlock(shard);
    if (at == from)
        return -EMSGSIZE;
    *ret_bytes = keys.used;
    return at == end ? 0 : (double)at;
}

/* Up to FLUSHED_MAX of the oldest. */
static uint32_t flush_some(struct shard *shard, uint32_t most)
{
    uint32_t count = 0;
    while (count < most && count < FLUSHED_MAX && shard->oldest) {
        entry_remove(shard, shard->oldest);
        shard->deletes++;
        count++;
    }
    return count;
}

/* Others may have the lock in between: what they add meanwhile stays. */
static double flush_shard(struct shard *shard)
{
    uint32_t left = 0, count = 0;
    double flushed = 0;
    do {
        if (shard_lock(shard) < 0)
            break;
        left = flushed > 0 ? left : shard->entries;
        count = flush_some(shard, left);
        shard_unlock(shard);
        left -= count;
        flushed += count;
    } while (count > 0 && left > 0);
    return flushed;
}

double dict_flush(struct dict *dict)
{
    double flushed = 0;
    for (uint32_t i = 0; i < dict->shards; i++)
        flushed += flush_shard(shard_at(dict, i));
    return flushed;
}

void dict_count(struct dict *dict, struct dict_counts *ret)
{
    *ret = (struct dict_counts){ .bytes = (double)dict->bytes };
    memcpy(ret->name, dict->name, sizeof ret->name);
    ret->name[sizeof ret->name - 1] = 0;
    for (uint32_t i = 0; i < dict->shards; i++) {
        const struct shard *shard = shard_at(dict, i); /* without the lock: each number is one that was true a moment ago */
        ret->used += (double)(shard->blocks - 1 - blocks_left(shard)) * BLOCK_BYTES;
        ret->entries += shard->entries;
        ret->hits += (double)shard->hits;
        ret->misses += (double)shard->misses;
        ret->sets += (double)shard->sets;
        ret->deletes += (double)shard->deletes;
        ret->expired += (double)shard->expired;
        ret->evicted += (double)shard->evicted;
        ret->refused += (double)shard->refused;
        ret->repaired += (double)shard->repaired;
        ret->most_bytes = (double)(shard->blocks / 2 - 1) * BLOCK_ROOM;
    }
}
