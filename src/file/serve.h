/* What to answer with a file: status, fields and which bytes, from the conditions and the range of a request (RFC 9110 §13, §14). Pure;
 * it does not write a response. */
#pragma once
#include "file/root.h"
#include "http/render.h"

enum { FILE_ETAG_BYTES = 64, FILE_FIELDS_MAX = 5 };

/* Points into itself: must not be copied or moved. */
struct file_answer {
    uint16_t status;     /* 200, 206, 304, 405, 412 or 416 */
    uint64_t offset;     /* of the content in the file */
    uint64_t length;     /* of the content: Content-Length, also for HEAD; 0 when there is none */
    struct slice type;   /* Content-Type; bytes 0: no content, none to send */
    const struct http_out_field *fields; /* to send: ETag, Last-Modified, Accept-Ranges, Content-Range or Allow */
    struct http_out_field field_store[FILE_FIELDS_MAX];
    uint32_t field_count;
    char etag[FILE_ETAG_BYTES], modified[32], range[80];
    uint32_t etag_bytes;
};

/* `now`: Unix time in seconds. 304, 412, 416 and 405 have no content (whoever answers may give one to the last three). For HEAD the
 * answer is that of GET; whoever sends it leaves the content out. */
void file_decide(const struct file_entry *entry, const struct http_head *head, const char *base, double now, struct file_answer *ret_answer);
