/* The shapes of a parsed HTTP/1 message head: what head.c fills, what the gate, the proxy and Lua read.
 * Everything is an offset from the first byte of the head, so that the bytes may be moved and only the
 * base pointer changes. This header is part of the text that LuaJIT's ffi.cdef reads. */
#pragma once
#ifndef MG_CDEF
#include <stdint.h>
#endif

enum http_method {
#define X(id, text) METHOD_##id,
#include "http/methods.tbl.h"
#undef X
    METHOD_OTHER = 30, /* a valid token that the table does not know */
};

enum http_field {
    FIELD_OTHER = 0,
#define X(id, text) FIELD_##id,
#include "http/fields.tbl.h"
#undef X
    FIELD_COUNT,
};

/* RFC 9112 §3.2 */
enum http_target_form { TARGET_ORIGIN, TARGET_ABSOLUTE, TARGET_AUTHORITY, TARGET_ASTERISK };

enum http_head_flag {
    HEAD_KEEP_ALIVE = 1 << 0,     /* the connection persists after this message (RFC 9112 §9.3) */
    HEAD_CHUNKED = 1 << 1,        /* Transfer-Encoding: chunked */
    HEAD_HAS_LENGTH = 1 << 2,     /* Content-Length was present */
    HEAD_EXPECT_CONTINUE = 1 << 3,
    HEAD_UPGRADE = 1 << 4,        /* Upgrade present and named by Connection */
    HEAD_PATH_PLAIN = 1 << 5,     /* the path needs no normalising: no '%', no "//", no segment "." or ".." */
    HEAD_HAS_QUERY = 1 << 6,      /* the target had a '?', also when the query is empty */
    HEAD_CLOSE = 1 << 7,          /* Connection named "close" */
};

enum { HTTP_FIELDS_MAX = 128, HTTP_HEAD_BYTES_MAX = 61440 };

struct http_span {
    uint16_t at, bytes;
};

struct http_field_line {
    struct http_span name, value; /* the value is trimmed of SP and HTAB */
    uint16_t id;                  /* enum http_field */
};

struct http_head {
    uint16_t bytes;      /* whole head with its empty line, once parsed */
    uint16_t flags;      /* enum http_head_flag */
    uint8_t method;      /* enum http_method; requests only */
    uint8_t minor;       /* HTTP/1.minor: 0 or 1 */
    uint8_t target_form; /* enum http_target_form; requests only */
    uint8_t field_count;
    uint16_t status;     /* responses only */
    struct http_span method_text;
    struct http_span target;    /* as received */
    struct http_span path;      /* of origin and absolute form; "/" of nothing has bytes = 0 (absolute without path) */
    struct http_span query;     /* without '?' */
    struct http_span authority; /* from the absolute form, else from Host; HTTP/1.0 may have none */
    int64_t content_length;     /* -1 when absent */
    struct http_field_line fields[HTTP_FIELDS_MAX];
};
