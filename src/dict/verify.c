/* Looks whether a dictionary is whole: every block belongs to exactly one thing, every link has its way back, every count is right. */
#include <stdlib.h>

#include "dict/inner.h"

#define CLAIM(claim) do { if (!(claim)) return __LINE__; } while (0)

struct census {
    struct shard *shard;
    uint8_t *seen; /* per block */
    uint32_t found;
};

static int see(struct census *census, uint32_t index)
{
    CLAIM(index > 0 && index < census->shard->fresh && !census->seen[index]);
    census->seen[index] = 1;
    census->found++;
    return 0;
}

static int see_chain(struct census *census, uint32_t first, uint32_t last, uint32_t blocks)
{
    uint32_t at = first, before = 0, count = 0;
    for (; at && count < blocks; before = at, at = node_at(census->shard, at)->next, count++) {
        int fault = see(census, at);
        if (fault)
            return fault;
    }
    CLAIM(count == blocks && before == last);
    return 0;
}

/* `is_whole`: of an entry that can be reached; one in the trash has lost some already. */
static int see_list(struct census *census, const struct entry *entry, bool is_whole)
{
    const struct ends *ends = (const struct ends *)&entry->word;
    uint32_t before = 0, count = 0;
    for (uint32_t at = ends->first; at; before = at, at = node_at(census->shard, at)->after, count++) {
        CLAIM(at < census->shard->fresh);
        const struct node *node = node_at(census->shard, at);
        int fault = see_chain(census, at, node->last, node->blocks);
        if (fault)
            return fault;
        CLAIM(!is_whole || node->before == before);
    }
    CLAIM(!is_whole || (ends->last == before && count == entry->bytes && count > 0));
    return 0;
}

static int see_entry(struct census *census, uint32_t index)
{
    struct shard *shard = census->shard;
    CLAIM(index < shard->fresh);
    struct entry *entry = entry_at(shard, index);
    uint64_t bytes = (uint64_t)entry->key_bytes + (entry->kind == DICT_TEXT || entry->kind == DICT_TABLE ? entry->bytes : 0);
    CLAIM(entry->kind >= DICT_TEXT && entry->kind <= DICT_WINDOW);
    CLAIM(entry->blocks == blocks_for(bytes, ENTRY_ROOM) && entry->version <= shard->version);
    int fault = see_chain(census, index, entry->last, entry->blocks);
    return fault || entry->kind != DICT_LIST ? fault : see_list(census, entry, true);
}

static int see_buckets(struct census *census)
{
    struct shard *shard = census->shard;
    uint32_t count = 0;
    for (uint32_t bucket = 0; bucket < shard->buckets; bucket++)
        for (uint32_t at = *bucket_at(shard, bucket); at; at = entry_at(shard, at)->chain, count++) {
            int fault = see_entry(census, at);
            if (fault)
                return fault;
            CLAIM((entry_at(shard, at)->hash & (shard->buckets - 1)) == bucket);
        }
    CLAIM(count == shard->entries);
    return 0;
}

static int see_queue(struct census *census)
{
    struct shard *shard = census->shard;
    uint32_t before = 0, count = 0;
    bool has_hand = shard->hand == 0;
    for (uint32_t at = shard->oldest; at && count <= shard->entries; before = at, at = entry_at(shard, at)->newer, count++) {
        CLAIM(census->seen[at] && entry_at(shard, at)->older == before);
        has_hand = has_hand || at == shard->hand;
    }
    CLAIM(count == shard->entries && shard->newest == before && has_hand);
    return 0;
}

static int see_rest(struct census *census)
{
    struct shard *shard = census->shard;
    for (uint32_t at = shard->trash; at; at = entry_at(shard, at)->chain) {
        int fault = see_chain(census, at, entry_at(shard, at)->last, entry_at(shard, at)->blocks);
        if (fault || (fault = see_list(census, entry_at(shard, at), false)))
            return fault;
    }
    uint32_t count = 0;
    for (uint32_t at = shard->free_head; at; at = node_at(shard, at)->next, count++) {
        int fault = see(census, at);
        if (fault)
            return fault;
    }
    CLAIM(count == shard->free && census->found == shard->fresh - 1);
    return 0;
}

static int verify_shard(struct shard *shard)
{
    struct census census = { .shard = shard, .seen = calloc(shard->blocks, 1) };
    CLAIM(census.seen);
    int fault = see_buckets(&census);
    if (!fault)
        fault = see_queue(&census);
    if (!fault)
        fault = see_rest(&census);
    free(census.seen);
    return fault;
}

int dict_verify(struct dict *dict)
{
    for (uint32_t i = 0; i < dict->shards; i++) {
        struct shard *shard = shard_at(dict, i);
        if (shard_lock(shard) < 0)
            return __LINE__;
        int fault = verify_shard(shard);
        shard_unlock(shard);
        if (fault)
            return fault;
    }
    return 0;
}
