/* One shard: its lock, the journal that makes changes whole, and its blocks. */
#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "base/must.h"
#include "dict/inner.h"

_Static_assert(sizeof(struct entry) == BLOCK_BYTES && sizeof(struct node) == BLOCK_BYTES && sizeof(struct block) == BLOCK_BYTES, "blocks");
_Static_assert(offsetof(struct entry, text) == BLOCK_BYTES - ENTRY_ROOM && offsetof(struct node, text) == BLOCK_BYTES - NODE_ROOM, "rooms");

enum { SHARDS_MAX = 32, SHARD_BYTES = 2 << 20, LINE = 64, LOCK_SECONDS = 1 };

/* ---- layout ---- */

static uint64_t aligned(uint64_t bytes)
{
    return (bytes + LINE - 1) & ~(uint64_t)(LINE - 1);
}

struct shard *shard_at(struct dict *dict, uint32_t index)
{
    return (struct shard *)((char *)dict + aligned(sizeof *dict) + index * dict->shard_bytes);
}

uint32_t *bucket_at(struct shard *shard, uint32_t bucket)
{
    return (uint32_t *)((char *)shard + aligned(sizeof *shard)) + bucket;
}

static struct block *block_at(struct shard *shard, uint32_t index)
{
    must(index > 0 && index < shard->blocks);
    char *blocks = (char *)shard + aligned(sizeof *shard) + aligned(shard->buckets * sizeof(uint32_t));
    return (struct block *)(blocks + (uint64_t)index * BLOCK_BYTES);
}

struct entry *entry_at(struct shard *shard, uint32_t index)
{
    return (struct entry *)block_at(shard, index);
}

struct node *node_at(struct shard *shard, uint32_t index)
{
    return (struct node *)block_at(shard, index);
}

static int shard_init(struct shard *shard, uint64_t bytes)
{
    pthread_mutexattr_t how;
    uint64_t room = bytes - aligned(sizeof *shard);
    memset(shard, 0, sizeof *shard);
    shard->buckets = 16;
    while ((uint64_t)shard->buckets * 2 * BLOCK_BYTES * 2 < room)
        shard->buckets *= 2;
    shard->blocks = (uint32_t)((room - aligned(shard->buckets * sizeof(uint32_t))) / BLOCK_BYTES);
    shard->fresh = 1;
    pthread_mutexattr_init(&how);
    pthread_mutexattr_setpshared(&how, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_setrobust(&how, PTHREAD_MUTEX_ROBUST);
    int error = pthread_mutex_init(&shard->lock, &how);
    pthread_mutexattr_destroy(&how);
    return -error;
}

/* The memory is all zero: buckets and blocks are not touched before they are used. */
int dict_init(struct dict *dict, struct dict_key name, uint64_t bytes)
{
    *dict = (struct dict){ .bytes = bytes, .shards = 1 };
    memcpy(dict->name, name.at, name.bytes);
    while (dict->shards < SHARDS_MAX && bytes / dict->shards > SHARD_BYTES)
        dict->shards *= 2;
    dict->shard_bytes = (bytes - aligned(sizeof *dict)) / dict->shards & ~(uint64_t)(LINE - 1);
    if (getrandom(dict->seed, sizeof dict->seed, 0) != sizeof dict->seed)
        return -EIO;
    for (uint32_t i = 0; i < dict->shards; i++)
        if (shard_init(shard_at(dict, i), dict->shard_bytes) < 0)
            return -ENOMEM;
    return 0;
}

/* ---- the journal ---- */

/* A process that is killed has done everything before some point of its program and nothing behind it: only the compiler must keep order. */
static void in_order(void)
{
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
}

static void note(struct shard *shard, const void *word, uint32_t bytes, uint64_t before)
{
    must(shard->noted < JOURNAL_MAX);
    shard->journal[shard->noted] = (struct note){ (uint32_t)((const char *)word - (char *)shard), bytes, before };
    in_order();
    __atomic_store_n(&shard->noted, shard->noted + 1, __ATOMIC_RELAXED);
    in_order();
}

void put32(struct shard *shard, uint32_t *word, uint32_t value)
{
    note(shard, word, sizeof *word, *word);
    __atomic_store_n(word, value, __ATOMIC_RELAXED);
}

void put64(struct shard *shard, uint64_t *word, uint64_t value)
{
    note(shard, word, sizeof *word, *word);
    __atomic_store_n(word, value, __ATOMIC_RELAXED);
}

void commit(struct shard *shard)
{
    in_order();
    __atomic_store_n(&shard->noted, 0, __ATOMIC_RELAXED);
    in_order();
}

/* May be killed itself, and begun again from the start. */
static void undo(struct shard *shard)
{
    for (uint32_t i = shard->noted; i-- > 0;) {
        const struct note *note = &shard->journal[i];
        memcpy((char *)shard + note->at, &note->before, note->bytes);
        in_order();
    }
    commit(shard);
    shard->repaired++;
}

/* ---- the lock ---- */

static int wait_for_lock(struct shard *shard)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += LOCK_SECONDS;
    return pthread_mutex_clocklock(&shard->lock, CLOCK_MONOTONIC, &until);
}

int shard_lock(struct shard *shard)
{
    int error = pthread_mutex_trylock(&shard->lock);
    if (error == EBUSY)
        error = wait_for_lock(shard);
    if (error == EOWNERDEAD) {
        undo(shard);
        error = pthread_mutex_consistent(&shard->lock);
    }
    return error ? -EBUSY : 0;
}

void shard_unlock(struct shard *shard)
{
    must(shard->noted == 0);
    pthread_mutex_unlock(&shard->lock);
}

/* ---- blocks ---- */

uint32_t blocks_for(uint64_t bytes, uint32_t first_room)
{
    return bytes <= first_room ? 1 : 1 + (uint32_t)((bytes - first_room + BLOCK_ROOM - 1) / BLOCK_ROOM);
}

uint32_t blocks_left(const struct shard *shard)
{
    return shard->free + (shard->blocks - shard->fresh);
}

/* The last of `count` blocks from the head of the free ones on. */
static uint32_t free_walk(struct shard *shard, uint32_t count)
{
    uint32_t at = shard->free_head;
    while (--count > 0)
        at = block_at(shard, at)->next;
    return at;
}

uint32_t chain_take(struct shard *shard, uint32_t blocks, uint32_t *ret_last)
{
    must(blocks > 0 && blocks <= blocks_left(shard));
    uint32_t used = blocks < shard->free ? blocks : shard->free, rest = blocks - used;
    uint32_t first = used ? shard->free_head : shard->fresh, fresh = shard->fresh;
    for (uint32_t i = 0; i < rest; i++) /* nobody can reach these yet */
        block_at(shard, fresh + i)->next = i + 1 < rest ? fresh + i + 1 : 0;
    *ret_last = fresh + rest - 1;
    if (used) {
        uint32_t last = free_walk(shard, used);
        if (rest == 0)
            *ret_last = last;
        put32(shard, &shard->free_head, block_at(shard, last)->next);
        put32(shard, &shard->free, shard->free - used);
        put32(shard, &block_at(shard, last)->next, rest ? fresh : 0);
    }
    if (rest)
        put32(shard, &shard->fresh, fresh + rest);
    return first;
}

void chain_give(struct shard *shard, uint32_t first, uint32_t last, uint32_t blocks)
{
    put32(shard, &block_at(shard, last)->next, shard->free_head);
    put32(shard, &shard->free_head, first);
    put32(shard, &shard->free, shard->free + blocks);
}

/* ---- bytes of a chain ---- */

/* Where in a chain one is: in the block `at`, `room` bytes before its end. */
struct place {
    uint32_t at, room;
};

static struct place place_of(struct shard *shard, uint32_t first, uint32_t first_room, uint32_t skip)
{
    struct place place = { first, first_room };
    while (skip >= place.room && skip > 0) {
        skip -= place.room;
        place.at = block_at(shard, place.at)->next;
        place.room = BLOCK_ROOM;
        if (place.at == 0)
            break; /* right behind the last byte */
    }
    place.room -= skip;
    return place;
}

/* The next piece of at most `bytes`. */
static char *place_next(struct shard *shard, struct place *place, uint32_t bytes, uint32_t *ret_bytes)
{
    if (place->room == 0) {
        place->at = block_at(shard, place->at)->next;
        place->room = BLOCK_ROOM;
    }
    struct block *block = block_at(shard, place->at);
    char *at = (char *)block + BLOCK_BYTES - place->room;
    *ret_bytes = bytes < place->room ? bytes : place->room;
    place->room -= *ret_bytes;
    return at;
}

void chain_read(struct shard *shard, uint32_t first, uint32_t first_room, uint32_t skip, char *ret, uint32_t bytes)
{
    struct place place = place_of(shard, first, first_room, skip);
    for (uint32_t count; bytes > 0; ret += count, bytes -= count) {
        const char *piece = place_next(shard, &place, bytes, &count);
        memcpy(ret, piece, count);
    }
}

void chain_write(struct shard *shard, uint32_t first, uint32_t first_room, uint32_t skip, const char *from, uint32_t bytes)
{
    struct place place = place_of(shard, first, first_room, skip);
    for (uint32_t count; bytes > 0; from += count, bytes -= count) {
        char *to = place_next(shard, &place, bytes, &count);
        memcpy(to, from, count);
    }
}

bool chain_begins(struct shard *shard, uint32_t first, uint32_t first_room, const char *with, uint32_t bytes)
{
    struct place place = { first, first_room };
    for (uint32_t count; bytes > 0; with += count, bytes -= count) {
        const char *piece = place_next(shard, &place, bytes, &count);
        if (memcmp(piece, with, count) != 0)
            return false;
    }
    return true;
}
