/* Content framing (RFC 9112 §6, §7): from bytes on the wire to runs of content, without copying.
 *
 * Chunks are held to the letter: 1 to 16 hexadecimal digits, less than 2^63; extensions well formed,
 * without white space, at most 256 bytes per chunk; all framing at most 16 KiB + 8 bytes per byte of
 * content (checked at each size line); CRLF strict. Trailers: at most 64 lines and 8 KiB; Content-Length,
 * Transfer-Encoding, Host and Authorization are refused there. */
#pragma once
#include "http/message.h"

enum http_body_kind { BODY_NONE, BODY_LENGTH, BODY_CHUNKED, BODY_UNTIL_CLOSE };

struct http_body {
    uint8_t kind;         /* enum http_body_kind */
    uint8_t state;        /* private */
    uint8_t done;         /* the last byte of the message has been consumed */
    uint8_t trailer_seen; /* private: the refused names that the current one may still turn out to be */
    uint32_t line_bytes;  /* private: size digits, bytes of extensions or of a trailer's name so far */
    uint64_t left;        /* content bytes left in the chunk or in the message */
    uint64_t content;     /* content bytes handed out so far */
    uint64_t framing;     /* framing bytes consumed so far; bounded against `content` */
    uint32_t trailer_bytes, trailer_count;
};

void http_body_begin_request(struct http_body *body, const struct http_head *head);
/* `request_method` decides about HEAD and CONNECT (RFC 9112 §6.3). */
void http_body_begin_response(struct http_body *body, const struct http_head *head,
                              enum http_method request_method);

/* Consumes framing up to and including the next run of content that is in `bytes`. Returns the bytes
 * consumed (0..count), with ret_at/ret_bytes the run of content among them (ret_bytes may be 0: only
 * framing was there), or the negated HTTP status (-400 malformed). Trailers are checked and dropped. Never
 * consumes past the end of the message. Call again while it returns > 0 and body->done is not set. A
 * malformed message stays malformed. With BODY_UNTIL_CLOSE `done` is never set: the end of the connection
 * is the end of the content. */
int64_t http_body_next(struct http_body *body, const char *bytes, uint32_t count, uint32_t *ret_at,
                       uint32_t *ret_bytes);
/* 1: the empty line behind the trailers has begun. What http_body_next() consumed before it, as far as trailer_bytes has grown, are lines of
 * trailers. */
int http_body_is_ending(const struct http_body *body);
