/* How a dictionary lies in memory; for the files of this room. All references are numbers of blocks, 0 for none, because each process has
 * the memory at an address of its own.
 *
 *   store:  head │ shard 0 │ shard 1 │ …            shard:  head with lock and journal │ buckets │ blocks
 *
 *   bucket ─▶ entry ─chain▶ entry          an entry and its key and value: a chain of blocks of 128 bytes, by `next`
 *   oldest ─newer▶ … ─newer▶ newest        all entries; the hand goes from the oldest on and gives up what was not asked for since (SIEVE)
 *
 * Words that others can reach are changed through put32() and put64(), which note the value before in the journal first. A change ends
 * with commit(), which empties it. Whoever finds that the one before has died with the lock puts the values back, last first. */
#pragma once
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "dict/dict.h"

enum { BLOCK_BYTES = 128, ENTRY_ROOM = 56, NODE_ROOM = 100, BLOCK_ROOM = 124, JOURNAL_MAX = 64 };

struct entry {
    uint32_t next, last, blocks; /* of its chain */
    uint32_t chain;              /* next of the same bucket, or of the trash */
    uint32_t hash;
    uint32_t older, newer;
    uint32_t bytes; /* of its value; elements of a list */
    uint64_t expires_ms; /* 0: never */
    uint64_t version;
    uint64_t word;  /* a number, tokens, the begin of a window, or first and last element (struct ends) */
    uint64_t other; /* when tokens were counted; counts of two windows */
    uint16_t key_bytes;
    uint8_t kind, visited;
    uint32_t unused;
    char text[ENTRY_ROOM]; /* key and value, going on in the next blocks */
};

/* An element of a list. */
struct node {
    uint32_t next, last, blocks;
    uint32_t before, after;
    uint32_t bytes;
    uint32_t kind;
    char text[NODE_ROOM];
};

struct block {
    uint32_t next;
    char text[BLOCK_ROOM];
};

/* `word` of a list. */
struct ends {
    uint32_t first, last;
};

struct note {
    uint32_t at, bytes; /* in the shard */
    uint64_t before;
};

struct shard {
    pthread_mutex_t lock;
    uint32_t noted;
    struct note journal[JOURNAL_MAX];
    uint32_t buckets, blocks; /* buckets: a power of two; blocks: that there are, with the unused block 0 */
    uint32_t free_head, free; /* blocks that were given back */
    uint32_t fresh;           /* blocks from here on were never used */
    uint32_t entries;
    uint32_t oldest, newest, hand;
    uint32_t trash;       /* lists that are gone, whose elements have to be given back yet */
    uint32_t sweep;       /* the bucket that is looked at next for what has expired */
    uint32_t unused;
    uint64_t version;
    uint64_t hits, misses, sets, deletes, expired, evicted, refused, repaired;
};

struct dict {
    char name[DICT_NAME_BYTES];
    uint64_t bytes, shard_bytes;
    uint64_t seed[2];
    uint32_t shards;
    uint32_t unused;
};

/* What a call works with: one shard, locked. */
struct access {
    struct shard *shard;
    struct dict_key key;
    uint32_t hash, bucket;
    uint64_t now_ms;
    uint32_t protect; /* an entry that must not be given up */
    uint32_t evicted; /* how many were */
};

/* ---- shard.c ---- */
int dict_init(struct dict *dict, struct dict_key name, uint64_t bytes);
struct shard *shard_at(struct dict *dict, uint32_t index);
int shard_lock(struct shard *shard);
void shard_unlock(struct shard *shard);
void put32(struct shard *shard, uint32_t *word, uint32_t value);
void put64(struct shard *shard, uint64_t *word, uint64_t value);
void commit(struct shard *shard);
uint32_t *bucket_at(struct shard *shard, uint32_t bucket);
struct entry *entry_at(struct shard *shard, uint32_t index);
struct node *node_at(struct shard *shard, uint32_t index);
uint32_t blocks_for(uint64_t bytes, uint32_t first_room);
uint32_t blocks_left(const struct shard *shard);
/* A chain of so many blocks, which there must be: the first, with the last in *ret_last. */
uint32_t chain_take(struct shard *shard, uint32_t blocks, uint32_t *ret_last);
void chain_give(struct shard *shard, uint32_t first, uint32_t last, uint32_t blocks);
/* `skip` bytes behind the head of a chain, whose first block has `first_room` of them at `at`. */
void chain_read(struct shard *shard, uint32_t first, uint32_t first_room, uint32_t skip, char *ret, uint32_t bytes);
void chain_write(struct shard *shard, uint32_t first, uint32_t first_room, uint32_t skip, const char *from, uint32_t bytes);
bool chain_begins(struct shard *shard, uint32_t first, uint32_t first_room, const char *with, uint32_t bytes);

/* ---- entry.c ---- */
/* Locks the shard of a key: 0 or -errno. End with shard_unlock(). */
int access_begin(struct access *access, struct dict *dict, struct dict_key key, double now_ms);
/* The entry of the key, 0: there is none. What has expired is removed. */
uint32_t entry_find(struct access *access);
bool entry_is_over(const struct entry *entry, uint64_t now_ms);
/* Room for so many blocks: 0, -E2BIG or -ENOSPC. Others are given up for it when they may. */
int entry_room(struct access *access, uint32_t blocks, bool may_evict);
/* A new entry for the key, not linked yet, with room for a value of `bytes`; there is room for it. */
uint32_t entry_make(struct access *access, uint8_t kind, uint32_t bytes);
void entry_link(struct access *access, uint32_t index);
/* Puts a new one at the place of an old one. */
void entry_replace(struct access *access, uint32_t old, uint32_t index);
void entry_remove(struct shard *shard, uint32_t index);
/* Looks for a few that have expired. After each change. */
void entry_sweep(struct access *access);
uint64_t version_next(struct shard *shard);
uint64_t expiry(uint64_t now_ms, double ttl_ms);
