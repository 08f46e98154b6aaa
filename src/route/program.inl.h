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

static inline uint64_t load64(const char *at)
{
    uint64_t word;
    memcpy(&word, at, sizeof word);
    return word;
}

static inline uint32_t load32(const char *at)
{
    uint32_t word;
    memcpy(&word, at, sizeof word);
    return word;
}

/* Fewer than 8 bytes in one word, without reading past them: the loads overlap instead. */
static inline uint64_t load_short(const char *text, uint32_t bytes)
{
    if (bytes >= 4)
        return load32(text) | (uint64_t)load32(text + bytes - 4) << 32;
    if (bytes == 0)
        return 0;
    return (unsigned char)text[0] | (uint64_t)(unsigned char)text[bytes / 2] << 8 |
           (uint64_t)(unsigned char)text[bytes - 1] << 16;
}

/* Multiply and fold. The keys are the configuration's, not a client's: a client can only look up, so that what counts is
 * how long the runs in the table are, and those are fixed when it is built. */
static inline uint64_t hash_mix(uint64_t hash, uint64_t word)
{
    hash = (hash ^ word) * 0x9e3779b97f4a7c15u;
    return hash ^ hash >> 32;
}

static inline uint64_t edge_hash(uint32_t parent, const char *text, uint32_t bytes)
{
    uint64_t hash = ((uint64_t)parent << 32 | bytes) * 0xd6e8feb86659fd93u;
    if (bytes < 8)
        return hash_mix(hash, load_short(text, bytes));
    for (uint32_t at = 0; at + 8 < bytes; at += 8)
        hash = hash_mix(hash, load64(text + at));
    return hash_mix(hash, load64(text + bytes - 8));
}

static inline bool text_equal(const char *a, const char *b, uint32_t bytes)
{
    if (bytes < 8)
        return load_short(a, bytes) == load_short(b, bytes);
    for (uint32_t at = 0; at + 8 < bytes; at += 8)
        if (load64(a + at) != load64(b + at))
            return false;
    return load64(a + bytes - 8) == load64(b + bytes - 8);
}

static inline uint32_t edge_slot(uint64_t hash, uint32_t slots)
{
    return (uint32_t)((uint64_t)(uint32_t)hash * slots >> 32);
}

/* The child of `parent` by `text`, or NULL. At least one slot is empty. */
static inline const struct route_edge *edge_find(const struct route_edge *edges, uint32_t slots, const char *texts,
                                                 uint32_t parent, const char *text, uint32_t bytes)
{
    uint64_t hash = edge_hash(parent, text, bytes);
    uint16_t tag = (uint16_t)(hash >> 48);
    for (const struct route_edge *edge = edges + edge_slot(hash, slots); edge->parent != EDGE_EMPTY;) {
        if (edge->parent == parent && edge->tag == tag && edge->bytes == bytes && text_equal(texts + edge->text, text, bytes))
            return edge;
        if (++edge == edges + slots)
            edge = edges;
    }
    return NULL;
}

static inline const struct route_edge *program_edge(const struct route_program *program, uint32_t parent, const char *text,
                                                    uint32_t bytes)
{
    return edge_find(program_edges(program), program->edge_slots, program_texts(program), parent, text, bytes);
}

/* The longest "*." host of which `name` is below, or 0, any host. At most one lookup per label of `name`. */
static inline uint32_t program_suffix_host(const struct route_program *program, const char *name, uint32_t bytes)
{
    for (uint32_t at = 1; at < bytes; at++) {
        if (name[at] != '.' || bytes - at - 1 > program->suffix_bytes_max)
            continue;
        const struct route_edge *edge = program_edge(program, EDGE_HOST_SUFFIX, name + at + 1, bytes - at - 1);
        if (edge)
            return edge->child;
    }
    return 0;
}
