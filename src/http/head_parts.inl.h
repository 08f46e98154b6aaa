/* Small pieces that head_rules.c and the walks share: names as little-endian words, spans, and the two rules that every
 * plain request meets. */
#pragma once
#include "http/head_private.h"
#include <string.h>

static inline uint64_t head_word(const char *at)
{
    uint64_t word;
    memcpy(&word, at, sizeof word);
    return word;
}

/* Where the search for a name begins; `first` is its first 8 bytes in lower case, zeros after its end. */
static inline uint32_t head_name_place(uint64_t first, uint32_t bytes)
{
    return (uint32_t)((first + bytes) * 0x9E3779B97F4A7C15u >> (64 - HEAD_NAME_BITS));
}

/* Volatile, so that these stay two stores: compilers join them by a chain of shifts. */
static inline void span_set(volatile struct http_span *span, uint64_t at, uint64_t bytes)
{
    span->at = (uint16_t)at;
    span->bytes = (uint16_t)bytes;
}

/* The first Host, its value known to be valid (RFC 9112 §3.2). The authority of an absolute target stays, and is
 * compared with it at the end of the head. */
static inline void rule_host(struct head_walk *walk, const struct http_field_line *line)
{
    walk->progress->seen |= SEEN_HOST;
    if (walk->head->target_form == TARGET_ORIGIN || walk->head->target_form == TARGET_ASTERISK)
        walk->head->authority = line->value;
}

/* The empty line is there: the head has `bytes` bytes. Returns them, or a negated status. */
static inline int rule_end(struct head_walk *walk, uint32_t bytes)
{
    struct http_head *head = walk->head;
    const uint32_t seen = walk->progress->seen, upgrade = SEEN_UPGRADE | SEEN_CONNECTION_UPGRADE;
    const int plain = (seen & ~(uint32_t)SEEN_CONNECTION_KEEP_ALIVE) == SEEN_HOST &&
                      head->target_form == TARGET_ORIGIN;
    if (!plain && !walk->response) {
        int status = head_rule_request(walk);
        if (status < 0)
            return status;
    }
    uint32_t flags = head->flags;
    if (!(flags & HEAD_CLOSE) && (head->minor == 1 || (seen & SEEN_CONNECTION_KEEP_ALIVE)))
        flags |= HEAD_KEEP_ALIVE;
    if ((seen & upgrade) == upgrade && head->minor == 1) /* RFC 9110 §7.8: ignored in HTTP/1.0 */
        flags |= HEAD_UPGRADE;
    head->flags = (uint16_t)flags;
    head->bytes = (uint16_t)bytes;
    return (int)bytes;
}
