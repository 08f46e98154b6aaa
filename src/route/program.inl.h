/* Access to the flat program, and its hash table: used by compile.c while it builds and by match.c. */
#pragma once
#include "route/program.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

static inline const struct route_host *program_hosts(const struct route_program *program)
{
    return (const void *)((const char *)program + program->hosts_at);
}

static inline const struct route_node *program_nodes(const struct route_program *program)
{
    return (const void *)((const char *)program + program->nodes_at);
}

static inline const struct route_choice *program_choices(const struct route_program *program)
{
    return (const void *)((const char *)program + program->choices_at);
}

static inline const struct route_edge *program_edges(const struct route_program *program)
{
    return (const void *)((const char *)program + program->edges_at);
}

static inline const char *program_texts(const struct route_program *program)
{
    return (const char *)program + program->texts_at;
}

/* A child to look up. Its text is hashed in words of eight bytes; the last word holds the 0 to 7 bytes that are left. */
struct key {
    uint32_t parent, bytes;
    const char *text;
    uint64_t last, hash;
};

/* The first byte is the lowest of the word, whatever the machine. */
static inline uint64_t load64(const char *at)
{
    uint64_t word;
    memcpy(&word, at, sizeof word);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    word = __builtin_bswap64(word);
#endif
    return word;
}

static inline uint64_t load32(const char *at)
{
    uint32_t word;
    memcpy(&word, at, sizeof word);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    word = __builtin_bswap32(word);
#endif
    return word;
}

/* The last `count` bytes, 0 to 7, of text..text+bytes. Reads nothing outside: where eight bytes do not fit, the loads
 * overlap. */
static inline uint64_t load_last(const char *text, uint32_t bytes, uint32_t count)
{
    if (bytes >= 8)
        return load64(text + bytes - 8) >> (7 - count) * 8 >> 8;
    text += bytes - count;
    if (count >= 4)
        return load32(text) | load32(text + count - 4) << (count - 4) * 8;
    if (count == 0)
        return 0;
    return (uint64_t)(unsigned char)text[0] | (uint64_t)(unsigned char)text[count / 2] << count / 2 * 8 |
           (uint64_t)(unsigned char)text[count - 1] << (count - 1) * 8;
}

/* The keys of the table are the configuration's, not a client's: a client can only look up, so what counts is how long the
 * runs of full slots are, and those are fixed when the table is built. */
static inline uint64_t hash_mix(uint64_t hash, uint64_t word)
{
    return ((hash << 5 | hash >> 59) ^ word) * 0x9e3779b97f4a7c15u;
}

static inline uint64_t hash_begin(uint32_t parent)
{
    return parent * 0xd6e8feb86659fd93u;
}

static inline uint64_t hash_end(uint64_t hash, uint64_t last)
{
    hash = hash_mix(hash, last);
    return hash ^ hash >> 32;
}

static inline struct key key_make(uint32_t parent, const char *text, uint32_t bytes)
{
    uint64_t hash = hash_begin(parent), last = load_last(text, bytes, bytes & 7);
    for (const char *at = text, *end = text + (bytes & ~7u); at < end; at += 8)
        hash = hash_mix(hash, load64(at));
    return (struct key){ parent, bytes, text, last, hash_end(hash, last) };
}

/* The highest bit of each byte that is a slash; above the first slash other bytes may show too. */
static inline uint64_t word_slashes(uint64_t word)
{
    const uint64_t ones = 0x0101010101010101u;
    word ^= ones * '/';
    return (word - ones) & ~word & ones << 7;
}

/* The key of the segment that begins at `at`, as key_make would make it: its end is found on the way. */
static inline struct key key_make_segment(uint32_t parent, const char *path, uint32_t at, uint32_t bytes)
{
    uint64_t hash = hash_begin(parent), word, slashes = 0;
    uint32_t next = at;
    for (; next + 8 <= bytes; next += 8) {
        word = load64(path + next);
        slashes = word_slashes(word);
        if (slashes)
            break;
        hash = hash_mix(hash, word);
    }
    if (!slashes) { /* the end of the path is as good as a slash */
        word = load_last(path, bytes, bytes - next);
        slashes = word_slashes(word) | (uint64_t)0x80 << (bytes - next) * 8;
    }
    word &= ((slashes & -slashes) >> 7) - 1;
    next += (uint32_t)__builtin_ctzll(slashes) / 8;
    return (struct key){ parent, next - at, path + at, word, hash_end(hash, word) };
}

/* `text` has 8 readable bytes behind it: TEXTS_SLACK_BYTES. */
static inline bool key_is(const struct key *key, const char *text)
{
    const char *own = key->text;
    for (const char *end = own + (key->bytes & ~7u); own < end; own += 8, text += 8)
        if (load64(own) != load64(text))
            return false;
    return ((load64(text) ^ key->last) & (((uint64_t)1 << (key->bytes & 7) * 8) - 1)) == 0;
}

static inline uint32_t key_slot(const struct key *key, uint32_t slots)
{
    return (uint32_t)((uint64_t)(uint32_t)key->hash * slots >> 32);
}

static inline uint32_t key_mark(const struct key *key)
{
    return (uint32_t)(key->hash >> 48) << 16 | key->bytes;
}

/* At least one slot is empty. NULL: no such edge. */
static inline const struct route_edge *edge_find(const struct route_edge *edges, uint32_t slots, const char *texts,
                                                 const struct key *key)
{
    uint32_t mark = key_mark(key);
    for (const struct route_edge *edge = edges + key_slot(key, slots);;) {
        if (edge->mark == mark && edge->parent == key->parent && key_is(key, texts + edge->text))
            return edge;
        if (edge->parent == EDGE_EMPTY)
            return NULL;
        if (++edge == edges + slots)
            edge = edges;
    }
}

static inline const struct route_edge *program_edge(const struct route_program *program, const struct key *key)
{
    return edge_find(program_edges(program), program->edge_slots, program_texts(program), key);
}

/* The longest "*." host of which `name` is below, or 0, any host. At most one lookup per label of `name`. */
static inline uint32_t program_suffix_host(const struct route_program *program, const char *name, uint32_t bytes)
{
    for (uint32_t at = 1; at < bytes; at++) {
        if (name[at] != '.' || bytes - at - 1 > program->suffix_bytes_max)
            continue;
        struct key key = key_make(EDGE_HOST_SUFFIX, name + at + 1, bytes - at - 1);
        const struct route_edge *edge = program_edge(program, &key);
        if (edge)
            return edge->child;
    }
    return 0;
}
