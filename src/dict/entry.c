/* Entries: found by key, kept in the order in which they came, given up when there is no room. */
#include <errno.h>

#include "base/siphash.h"
#include "dict/inner.h"

/* Bounds of what one call does besides its own work. */
enum { PASSED_MAX = 32, SWEPT_BUCKETS = 2, SWEPT_NODES = 8 };

int access_begin(struct access *access, struct dict *dict, struct dict_key key, double now_ms)
{
    if (key.bytes == 0 || key.bytes > DICT_KEY_MAX)
        return -ENAMETOOLONG;
    uint64_t hash = siphash(dict->seed, key.at, key.bytes);
    struct shard *shard = shard_at(dict, (uint32_t)(hash >> 32) & (dict->shards - 1));
    *access = (struct access){
        .shard = shard, .key = key, .hash = (uint32_t)hash, .bucket = (uint32_t)hash & (shard->buckets - 1), .now_ms = (uint64_t)now_ms,
    };
    return shard_lock(shard);
}

uint64_t version_next(struct shard *shard)
{
    return ++shard->version;
}

uint64_t expiry(uint64_t now_ms, double ttl_ms)
{
    return ttl_ms > 0 ? now_ms + (ttl_ms < 1 ? 1 : ttl_ms < 1e15 ? (uint64_t)ttl_ms : (uint64_t)1e15) : 0;
}

bool entry_is_over(const struct entry *entry, uint64_t now_ms)
{
    return entry->expires_ms && entry->expires_ms <= now_ms;
}

/* ---- links ---- */

/* The word that refers to an entry in its bucket's chain. */
static uint32_t *reference(struct shard *shard, uint32_t index)
{
    uint32_t *at = bucket_at(shard, entry_at(shard, index)->hash & (shard->buckets - 1));
    while (*at != index)
        at = &entry_at(shard, *at)->chain;
    return at;
}

void entry_link(struct access *access, uint32_t index)
{
    struct shard *shard = access->shard;
    struct entry *entry = entry_at(shard, index);
    uint32_t *bucket = bucket_at(shard, access->bucket);
    entry->chain = *bucket;
    entry->older = shard->newest;
    entry->newer = 0;
    put32(shard, bucket, index);
    put32(shard, shard->newest ? &entry_at(shard, shard->newest)->newer : &shard->oldest, index);
    put32(shard, &shard->newest, index);
    put32(shard, &shard->entries, shard->entries + 1);
}

/* Its blocks go back; a list has too many elements for one step: it goes to the trash. */
static void entry_drop(struct shard *shard, uint32_t index)
{
    struct entry *entry = entry_at(shard, index);
    if (entry->kind == DICT_LIST && entry->bytes > 0) {
        put32(shard, &entry->chain, shard->trash);
        put32(shard, &shard->trash, index);
    } else {
        chain_give(shard, index, entry->last, entry->blocks);
    }
}

void entry_replace(struct access *access, uint32_t old, uint32_t index)
{
    struct shard *shard = access->shard;
    struct entry *before = entry_at(shard, old), *entry = entry_at(shard, index);
    entry->chain = before->chain;
    entry->older = before->older;
    entry->newer = before->newer;
    entry->visited = 1;
    put32(shard, reference(shard, old), index);
    put32(shard, entry->older ? &entry_at(shard, entry->older)->newer : &shard->oldest, index);
    put32(shard, entry->newer ? &entry_at(shard, entry->newer)->older : &shard->newest, index);
    if (shard->hand == old)
        put32(shard, &shard->hand, index);
    entry_drop(shard, old);
}

void entry_remove(struct shard *shard, uint32_t index)
{
    struct entry *entry = entry_at(shard, index);
    put32(shard, reference(shard, index), entry->chain);
    put32(shard, entry->older ? &entry_at(shard, entry->older)->newer : &shard->oldest, entry->newer);
    put32(shard, entry->newer ? &entry_at(shard, entry->newer)->older : &shard->newest, entry->older);
    if (shard->hand == index)
        put32(shard, &shard->hand, entry->newer);
    put32(shard, &shard->entries, shard->entries - 1);
    entry_drop(shard, index);
    commit(shard);
}

/* ---- finding ---- */

static bool has_key(struct shard *shard, uint32_t index, const struct access *access)
{
    const struct entry *entry = entry_at(shard, index);
    return entry->hash == access->hash && entry->key_bytes == access->key.bytes &&
           chain_begins(shard, index, ENTRY_ROOM, access->key.at, access->key.bytes);
}

uint32_t entry_find(struct access *access)
{
    struct shard *shard = access->shard;
    uint32_t index = *bucket_at(shard, access->bucket);
    while (index && !has_key(shard, index, access))
        index = entry_at(shard, index)->chain;
    if (index && entry_is_over(entry_at(shard, index), access->now_ms)) {
        entry_remove(shard, index);
        shard->expired++;
        return 0;
    }
    return index;
}

/* ---- room ---- */

/* Gives back one element of a list that is gone, and its entry after the last. False: there is no trash. */
static bool trash_step(struct shard *shard)
{
    uint32_t index = shard->trash;
    if (!index)
        return false;
    struct entry *entry = entry_at(shard, index);
    struct ends *ends = (struct ends *)&entry->word;
    const struct node *node = ends->first ? node_at(shard, ends->first) : NULL;
    if (node) {
        uint32_t first = ends->first;
        put32(shard, &ends->first, node->after);
        chain_give(shard, first, node->last, node->blocks);
    } else {
        put32(shard, &shard->trash, entry->chain);
        chain_give(shard, index, entry->last, entry->blocks);
    }
    commit(shard);
    return true;
}

/* The one that the hand chooses: it has expired, or nobody has asked for it since the hand came by. After PASSED_MAX of those that were asked
 * for the next one goes all the same, so that no call takes longer than others. */
static uint32_t choose(struct access *access)
{
    struct shard *shard = access->shard;
    uint32_t index = shard->hand;
    for (uint32_t passed = 0; passed <= PASSED_MAX + 2; passed++) {
        index = index ? index : shard->oldest;
        if (!index)
            return 0;
        struct entry *entry = entry_at(shard, index);
        if (index != access->protect && (!entry->visited || entry_is_over(entry, access->now_ms) || passed >= PASSED_MAX))
            return index;
        entry->visited = 0;
        index = entry->newer;
        shard->hand = index; /* one word: true before and after */
    }
    return 0;
}

static bool give_up_one(struct access *access)
{
    uint32_t index = choose(access);
    if (!index)
        return false;
    if (entry_is_over(entry_at(access->shard, index), access->now_ms)) {
        access->shard->expired++;
    } else {
        access->shard->evicted++;
        access->evicted++;
    }
    entry_remove(access->shard, index);
    return true;
}

int entry_room(struct access *access, uint32_t blocks, bool may_evict)
{
    struct shard *shard = access->shard;
    if (blocks > shard->blocks / 2)
        return -E2BIG;
    while (blocks_left(shard) < blocks) {
        if (trash_step(shard))
            continue;
        if (!may_evict || !give_up_one(access)) {
            shard->refused++;
            return -ENOSPC;
        }
    }
    return 0;
}

uint32_t entry_make(struct access *access, uint8_t kind, uint32_t bytes)
{
    struct shard *shard = access->shard;
    uint32_t last, blocks = blocks_for((uint64_t)access->key.bytes + bytes, ENTRY_ROOM), index = chain_take(shard, blocks, &last);
    struct entry *entry = entry_at(shard, index);
    entry->last = last;
    entry->blocks = blocks;
    entry->hash = access->hash;
    entry->bytes = bytes;
    entry->expires_ms = entry->word = entry->other = 0;
    entry->version = version_next(shard);
    entry->key_bytes = (uint16_t)access->key.bytes;
    entry->kind = kind;
    entry->visited = 0;
    chain_write(shard, index, ENTRY_ROOM, 0, access->key.at, access->key.bytes);
    return index;
}

void entry_sweep(struct access *access)
{
    struct shard *shard = access->shard;
    for (uint32_t i = 0; i < SWEPT_NODES && trash_step(shard); i++)
        ;
    for (uint32_t i = 0; i < SWEPT_BUCKETS; i++) {
        uint32_t index = *bucket_at(shard, shard->sweep);
        shard->sweep = (shard->sweep + 1) & (shard->buckets - 1);
        while (index) {
            uint32_t next = entry_at(shard, index)->chain;
            if (entry_is_over(entry_at(shard, index), access->now_ms)) {
                entry_remove(shard, index);
                shard->expired++;
            }
            index = next;
        }
    }
}
