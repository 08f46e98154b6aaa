/* The door of the head parser: chooses the implementation, sets up one parse, looks up parsed fields. The work is in
 * head_walk.inl.h (lines) and head_rules.c (meaning). */
#include "http/head_private.h"
#include <stddef.h>
#include <string.h>
#include <strings.h>

enum { IMPLEMENTATION_CHOOSE, IMPLEMENTATION_SCALAR, IMPLEMENTATION_SSE2, IMPLEMENTATION_AVX2 };

/* Set once, before the first parse, by http_head_select. */
static head_walk_fn *head_request = head_request_short, *head_response = head_response_scalar;
head_walk_fn *head_request_long = head_request_scalar;

static int best_implementation(void)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") &&
        __builtin_cpu_supports("bmi2"))
        return IMPLEMENTATION_AVX2;
    return IMPLEMENTATION_SSE2;
#else
    return IMPLEMENTATION_SCALAR;
#endif
}

int http_head_select(int force)
{
    int best = best_implementation();
    int chosen = force == IMPLEMENTATION_CHOOSE || force > best ? best : force;
    head_names_fill();
#if defined(__x86_64__)
    static head_walk_fn *const walks[][2] = {
        [IMPLEMENTATION_SCALAR] = { head_request_scalar, head_response_scalar },
        [IMPLEMENTATION_SSE2] = { head_request_sse2, head_response_sse2 },
        [IMPLEMENTATION_AVX2] = { head_request_avx2, head_response_avx2 },
    };
    head_request_long = walks[chosen][0];
    head_request = chosen == IMPLEMENTATION_AVX2 ? head_request_avx2 : head_request_short;
    head_response = walks[chosen][1];
#endif
    return chosen;
}

void http_scan_begin(struct http_scan *scan, const char *bytes, uint32_t count)
{
    scan->base = bytes;
    scan->bytes = count;
}

int http_request_parse(struct http_scan *scan, uint32_t at, const struct http_head_limits *limits,
                       struct http_head_progress *progress, struct http_head *ret_head,
                       const char **ret_reason)
{
    return head_request(scan, at, limits, progress, ret_head, ret_reason);
}

int http_response_parse(struct http_scan *scan, uint32_t at, const struct http_head_limits *limits,
                        struct http_head_progress *progress, struct http_head *ret_head,
                        const char **ret_reason)
{
    int status = head_response(scan, at, limits, progress, ret_head, ret_reason);
    return status < 0 ? -502 : status;
}

int http_head_find(const struct http_head *head, enum http_field id, int from)
{
    for (int i = from; i < head->field_count; i++) {
        if (head->fields[i].id == id)
            return i;
    }
    return -1;
}

int http_head_find_name(const struct http_head *head, const char *base, const char *name,
                        uint32_t name_bytes, int from)
{
    for (int i = from; i < head->field_count; i++) {
        const struct http_span own = head->fields[i].name;
        if (own.bytes == name_bytes && strncasecmp(base + own.at, name, name_bytes) == 0)
            return i;
    }
    return -1;
}
