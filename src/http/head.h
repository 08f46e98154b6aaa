/* The request and response head parser: bytes in, offsets and framing decisions out. Pure: touches no
 * descriptor, allocates nothing, logs nothing. Strict as RFC 9112 allows and stricter where leniency is
 * what smuggling lives on. */
#pragma once
#include "http/message.h"

struct http_head_limits {
    uint32_t line_bytes;   /* request line: beyond it 414 */
    uint32_t head_bytes;   /* whole head: beyond it 431 */
    uint32_t field_count;  /* number of field lines: beyond it 431 */
};

/* The received bytes that heads are parsed from, one after the other. 64 bytes past the end must be readable (their
 * content does not matter). The bitmaps of a head end with it: handing the rest of the last one on to the next head of
 * a pipeline takes more instructions than to make it anew (bench/results/head.txt). */
struct http_scan {
    const char *base;
    uint32_t bytes; /* valid bytes from base; at most HTTP_HEAD_BYTES_MAX of them belong to one head */
};

/* What a partial parse remembers, so that the next call goes on where this one stopped. */
struct http_head_progress {
    uint16_t line_at;   /* first byte of the line that is not complete yet */
    uint16_t scanned;   /* bytes known not to end that line */
    uint8_t started;    /* the request or status line is parsed */
    uint8_t seen;       /* private bits: framing fields met so far */
};

/* Picks the fastest implementation this processor has. Call once before any other function here.
 * `force`: 0 choose; 1 scalar; 2 SSE2; 3 AVX2. Returns what was chosen. */
int http_head_select(int force);

void http_scan_begin(struct http_scan *scan, const char *bytes, uint32_t count);

/* Parses one request head that begins `at` bytes into the scanned buffer. `progress` is all zero at the first
 * call for a head, and is handed back unchanged with the longer buffer after a 0; so is *ret_head, which then holds
 * the lines parsed so far. Both may be thrown away after a 0, to begin anew. The bytes may have moved meanwhile.
 * Returns the bytes of the head (> 0), 0 when more bytes are needed, or the negated HTTP status to answer
 * (-400, -414, -431, -501, -505, -417). On a negative return *ret_reason is a static sentence for the error body. */
int http_request_parse(struct http_scan *scan, uint32_t at, const struct http_head_limits *limits,
                       struct http_head_progress *progress, struct http_head *ret_head, const char **ret_reason);

/* The same for a response head from an upstream; negative returns are always -502. */
int http_response_parse(struct http_scan *scan, uint32_t at, const struct http_head_limits *limits,
                        struct http_head_progress *progress, struct http_head *ret_head, const char **ret_reason);

/* First field line with this number, from index `from`; its index or -1. */
int http_head_find(const struct http_head *head, enum http_field id, int from);
/* The same by name, any case. */
int http_head_find_name(const struct http_head *head, const char *base, const char *name, uint32_t name_bytes, int from);
