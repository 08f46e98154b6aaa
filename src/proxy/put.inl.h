/* Writing into a bounded place: running out of room is a mark, looked at once. Part of forward.c and gateway.c. */
#pragma once
#include <string.h>
#include <strings.h>

#include "base/slice.h"
#include "http/message.h"

struct out {
    char *at, *end;
    int full;
};

static inline void put(struct out *out, const char *bytes, size_t count)
{
    if ((size_t)(out->end - out->at) < count) {
        out->full = 1;
        return;
    }
    memcpy(out->at, bytes, count);
    out->at += count;
}

#define PUT(out, text) put((out), "" text, sizeof(text) - 1)

static inline void put_slice(struct out *out, struct slice text)
{
    if (text.bytes)
        put(out, text.at, text.bytes);
}

static inline struct slice text_of(const char *base, struct http_span span)
{
    return (struct slice){ base + span.at, span.bytes };
}

static inline int same_name(struct slice a, const char *b, uint32_t b_bytes)
{
    return a.bytes == b_bytes && strncasecmp(a.at, b, b_bytes) == 0;
}
