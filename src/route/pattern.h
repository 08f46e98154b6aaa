/* Patterns and host names as users write them, checked and brought to the form that matching compares.
 * In: text of the configuration. Out: segments over one normalised text, or a message. Private to route/. */
#pragma once
#ifndef MG_CDEF
#include <stdint.h>
#endif
#include "route/route.h"

enum {
    PATTERN_BYTES_MAX = 4096,  /* as written */
    PATTERN_SEGMENTS_MAX = 128,
    PATTERN_HOST_BYTES_MAX = 253, /* RFC 1035 §2.3.4, without the trailing dot */
};

enum pattern_kind { PATTERN_LITERAL, PATTERN_PARAM, PATTERN_WILDCARD }; /* in order of precedence */

struct pattern_segment {
    uint16_t at, bytes; /* in the normalised text */
    uint8_t kind;       /* enum pattern_kind */
};

struct pattern {
    uint32_t segment_count, capture_count, text_bytes;
    struct pattern_segment segments[PATTERN_SEGMENTS_MAX];
    char text[PATTERN_BYTES_MAX * 3]; /* each byte may become "%XX"; captures are ":" and "*" without their names */
};

struct pattern_host {
    uint32_t bytes;    /* 0: any host */
    uint32_t wildcard; /* 1: "*." stood before the text */
    char text[PATTERN_HOST_BYTES_MAX + 1];
};

/* 0, or -EINVAL with a message. `ret` is scratch until 0 is returned. */
int pattern_parse(const char *text, uint32_t bytes, struct pattern *ret, char *ret_message, uint32_t message_bytes);
int pattern_host_parse(const char *text, uint32_t bytes, struct pattern_host *ret, char *ret_message,
                       uint32_t message_bytes);

/* The second spelling under which clients send a normalised literal: characters that RFC 3986 keeps out of a path but that
 * many clients leave as they are ("{", "|", "[" …), and "*" and a leading ":", which a pattern can only write as "%2A" and "%3A".
 * All of them are written raw into `ret` (holds at least `bytes`). Returns its length, or 0 when there is no such character. */
uint32_t pattern_raw_spelling(const char *literal, uint32_t bytes, char *ret);
