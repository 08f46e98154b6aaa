/* What to answer with a version of a file: status and which bytes, from the conditions and the ranges of a request (RFC 9110 §13, §14), and
 * which coding the client likes best (§12.5.3). Pure; it does not write a response. */
#pragma once
#include "http/head.h"

enum { FILE_ETAG_BYTES = 64, FILE_RANGES_MAX = 16 };

struct file_version {
    uint64_t size;
    int64_t modified_s;   /* as sent in Last-Modified, so not later than when it was loaded; -1: not sent */
    uint32_t etag_bytes;
    char etag[FILE_ETAG_BYTES]; /* with its quotes; always strong */
};

struct file_range {
    uint64_t first, last;
};

struct file_verdict {
    uint16_t status;      /* 200, 206, 304, 412 or 416 */
    uint16_t range_count; /* with 206 */
    struct file_range ranges[FILE_RANGES_MAX];
};

/* `now`: Unix time in seconds. For HEAD the verdict is that of GET without its ranges. More ranges than FILE_RANGES_MAX are ignored, as are
 * other units and what is malformed; those that overlap or lie close together become one. */
void file_judge(const struct file_version *version, const struct http_head *head, const char *base, double now, struct file_verdict *ret_verdict);

enum file_coding { FILE_ZSTD, FILE_BROTLI, FILE_GZIP, FILE_CODINGS };

struct file_liking {
    uint8_t coding;  /* enum file_coding */
    uint16_t weight; /* in thousandths (RFC 9110 §12.4.2) */
};

/* The codings that are liked at least as well as the file as it is, the best first, of equals in the order of the enum: how many. */
uint32_t file_codings_liked(const struct http_head *head, const char *base, struct file_liking ret_liked[FILE_CODINGS]);
