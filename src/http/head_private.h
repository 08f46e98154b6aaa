/* What the pieces of the head parser share. head.c is the door; head_walk.inl.h walks the lines and is compiled once
 * per instruction set (head_avx2.c, head_sse2.c, head_scalar.c); head_rules.c judges what the lines mean. Nothing
 * outside src/http/head*.c includes this. */
#pragma once
#include "http/head.h"

/* Tables are reached without a detour over the global offset table, also in a shared library. */
#define HEAD_TABLE __attribute__((visibility("hidden")))

/* One parse. All offsets count from `text`. */
struct head_walk {
    const char *text; /* first byte of the head */
    uint32_t count;   /* bytes that can belong to this head: received, and within head_most() */
    uint32_t response;
    const struct http_head_limits *limits;
    struct http_head *head;
    struct http_head_progress *progress;
    const char **ret_reason; /* written with every negative return */
};

/* Bits of http_head_progress.seen. */
enum head_seen {
    SEEN_HOST = 1 << 0,
    SEEN_UPGRADE = 1 << 1,              /* an Upgrade field */
    SEEN_CONNECTION_UPGRADE = 1 << 2,   /* Connection names "upgrade" */
    SEEN_CONNECTION_KEEP_ALIVE = 1 << 3,
    SEEN_EXPECT_UNKNOWN = 1 << 4,       /* 417, once the rest of the head is known to be good */
    SEEN_CONNECTION_CLOSE = 1 << 5,
    SEEN_ODD_LINE = 1 << 6,             /* HTTP/1.0, or a target that is not plainly a path */
};

/* A known field name. A free place fits no name. */
struct head_name {
    char text[32];  /* lower case, with the colon and a space; the rest zero */
    uint32_t bytes; /* without them */
    uint32_t mask;  /* a bit for each byte of `text` in use, from the lowest */
    uint32_t id;    /* enum http_field */
    uint32_t unused[5];
};
/* A name has one place: head_names_fill() seeks the factor by which no two known names meet. */
enum { HEAD_NAME_BITS = 8, HEAD_NAME_PLACES = 1 << HEAD_NAME_BITS };
extern HEAD_TABLE struct head_name head_names[HEAD_NAME_PLACES];
extern HEAD_TABLE uint32_t head_name_factor;

/* BYTE_TOKEN: RFC 9110 §5.6.2; BYTE_HOST: letters, digits, '.' and '-'; BYTE_QUERY: visible ASCII but '#';
 * BYTE_PATH: that, but '?' and '%'; BYTE_SEGMENT: that, but '/'; BYTE_VALUE: no control, no HTAB */
enum { BYTE_TOKEN = 1, BYTE_HOST = 2, BYTE_PATH = 4, BYTE_QUERY = 8, BYTE_SEGMENT = 16, BYTE_VALUE = 32 };
extern HEAD_TABLE const uint8_t head_bytes[256];

void head_names_fill(void);

/* 32-byte constants of head_avx2.c. They are defined in another file, so that the compiler takes them from memory where
 * it would else build them anew by three instructions each. Sets of ASCII bytes are columns and rows: a byte is in the
 * set when the entries of its lower and its upper nibble have a bit in common. Rows 0x2_ to 0x5_ are bits 1, 2, 4, 8,
 * row 0x7_ is 16; row 0x6_ is 0x4_ (4) and column 0 alone (32). */
struct head_vectors {
    char rows[32], token[32], host[32];
    char nibble[32], past_controls[32], colon[32], case_bit[32], one[32];
    char hash[32], slash[32], percent[32], question[32];
};
extern HEAD_TABLE const struct head_vectors head_vectors __attribute__((aligned(32)));

/* The walks; head.c picks two. As http_request_parse() and http_response_parse(). */
typedef int head_walk_fn(struct http_scan *scan, uint32_t at, const struct http_head_limits *limits,
                         struct http_head_progress *progress, struct http_head *head, const char **ret_reason);
head_walk_fn head_request_avx2, head_response_avx2;
head_walk_fn head_request_sse2, head_response_sse2;
head_walk_fn head_request_scalar, head_response_scalar;

/* Whatever is short and plain; all else goes on to head_request_long. */
enum { HEAD_SHORT = 48 };
head_walk_fn head_request_short;
extern HEAD_TABLE head_walk_fn *head_request_long;

/* The rules. Each returns 0 or a negated status, with *walk->ret_reason set. */
int head_refuse(struct head_walk *walk, int status, const char *reason);
/* A line is not ended by CRLF: the control at `at` stands there. */
int head_refuse_control(struct head_walk *walk, uint32_t at);
/* The line at `line` does not begin with a token and a colon. */
int head_refuse_name(struct head_walk *walk, uint32_t line, uint32_t name_bytes);
/* The request line [at, end) does not end in " HTTP/1.0" or " HTTP/1.1". */
int head_refuse_version(struct head_walk *walk, uint32_t at, uint32_t end);
/* The request line at `at` has to begin with a method and a space. */
int head_rule_method(struct head_walk *walk, uint32_t at);
/* A target that is not plainly a path: with a query, to be normalised, in another form, or malformed. */
int head_rule_target(struct head_walk *walk);
/* The status line is the first `bytes` bytes. */
int head_rule_status_line(struct head_walk *walk, uint32_t bytes);
/* Any of the fields FIELD_HOST to FIELD_UPGRADE. */
int head_rule_field(struct head_walk *walk, const struct http_field_line *line);
/* What is to be said of the whole head, when its empty line is there. Returns walk->head->bytes, or a negated status. */
int head_rule_end(struct head_walk *walk);
