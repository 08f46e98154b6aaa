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

/* The place of a name. `last` is its last four bytes in lower case; what stands before a shorter one is CR LF. */
static inline uint32_t head_name_place(uint32_t last, uint32_t bytes)
{
    return (last + bytes) * head_name_factor >> (32 - HEAD_NAME_BITS);
}

static inline int is_pair(const char *at, char first, char second)
{
    uint16_t pair;
    memcpy(&pair, at, sizeof pair);
    return pair == (uint16_t)((uint8_t)first | (uint8_t)second << 8);
}

/* How long the head may be. */
static inline uint32_t head_most(const struct http_head_limits *limits)
{
    return limits->head_bytes < HTTP_HEAD_BYTES_MAX ? limits->head_bytes : HTTP_HEAD_BYTES_MAX;
}

/* Where a name is, if it is known. At least four bytes stand before its end: those of the line before. */
static inline const struct head_name *head_name_at(const char *name, uint32_t bytes)
{
    uint32_t last;
    memcpy(&last, name + bytes - 4, sizeof last);
    return &head_names[head_name_place(last | 0x20202020u, bytes)];
}

/* `name` begins with a known name in any case, its colon and, unless `less` is 1, a space. */
static inline int head_name_fits(const struct head_name *known, const char *name, int less)
{
    const char *text = known->text;
    int left = (int)known->bytes + 2 - less;
    for (;; name += 8, text += 8, left -= 8) {
        uint64_t other = (head_word(name) | 0x2020202020202020u) ^ head_word(text);
        if (left <= 8)
            return other << (64 - 8 * left) == 0;
        if (other)
            return 0;
    }
}

/* Volatile, so that these stay two stores: compilers join them by a chain of shifts. */
static inline void span_set(volatile struct http_span *span, uint64_t at, uint64_t bytes)
{
    span->at = (uint16_t)at;
    span->bytes = (uint16_t)bytes;
}

/* An HTTP/1.1 request for an empty path, and no more. */
__attribute__((always_inline)) static inline void head_begin(struct http_head *head)
{
    head->bytes = 0;
    head->flags = 0;
    head->method = METHOD_GET;
    head->minor = 1;
    head->target_form = TARGET_ORIGIN;
    head->field_count = 0;
    head->status = 0;
    head->method_text.at = head->method_text.bytes = head->target.at = head->target.bytes = 0;
    head->path.at = head->path.bytes = 0;
    head->query.at = head->query.bytes = head->authority.at = head->authority.bytes = 0;
    head->content_length = -1;
}

/* The empty line is there: the head has `bytes` bytes. Returns them, or a negated status. */
static inline int rule_end(struct head_walk *walk, uint32_t bytes)
{
    struct http_head *head = walk->head;
    head->bytes = (uint16_t)bytes;
    if (__builtin_expect((walk->progress->seen & ~SEEN_CONNECTION_KEEP_ALIVE) != SEEN_HOST, 0))
        return head_rule_end(walk);
    head->flags |= HEAD_KEEP_ALIVE; /* HTTP/1.1, a path, one Host, and no word of closing */
    return (int)bytes;
}
