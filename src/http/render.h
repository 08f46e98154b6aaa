/* Response heads as bytes: status line, framing, Date, Server, and the fields that a script or an upstream gave. */
#pragma once
#include "base/slice.h"
#include "http/message.h"

/* One field to send. Memory is lent by whoever made the list, until the head is rendered. */
struct http_out_field {
    struct http_out_field *next;
    struct slice name, value;
    uint16_t id; /* enum http_field */
};

enum http_framing {
    FRAMING_LENGTH,  /* Content-Length: length */
    FRAMING_CHUNKED, /* Transfer-Encoding: chunked */
    FRAMING_CLOSE,   /* none; the end of the connection ends the content (HTTP/1.0 clients) */
    FRAMING_NONE,    /* no content and no framing field: 1xx, 204, 304 without a length */
};

/* The lines that are the same in every response, made anew once a second. */
struct http_common {
    char bytes[192]; /* "Server: …\r\nDate: …\r\n" or only Date */
    uint32_t count;
    int64_t second;  /* the Unix second of `bytes`; -1 before the first */
    char server[96];
    uint32_t server_bytes; /* 0: no Server field */
};

struct http_reply {
    uint16_t status;
    uint8_t minor;          /* of the request: HTTP/1.minor */
    uint8_t framing;        /* enum http_framing */
    uint8_t close;          /* the connection ends after this response */
    uint8_t own_date, own_server; /* the field list has its own Date or Server: leave the common one out */
    int64_t length;         /* for FRAMING_LENGTH */
    struct slice content_type; /* bytes 0: none */
    struct slice reason;       /* bytes 0: the standard phrase */
    const struct http_out_field *fields;
};

/* 0 on success, -EINVAL when `server` has bytes that a field value must not have or is too long. `server` bytes 0: none. */
int http_common_init(struct http_common *common, const char *server, uint32_t server_bytes);
void http_common_tick(struct http_common *common, int64_t unix_second);

/* An upper bound of the bytes that http_render_head will write. */
uint32_t http_render_bound(const struct http_reply *reply, const struct http_common *common);
/* Writes the head, returns its length. `out` has room for http_render_bound() bytes. */
uint32_t http_render_head(char *out, const struct http_reply *reply, const struct http_common *common);

/* Standard phrase of a status, "Unknown" for others. */
struct slice http_status_phrase(uint16_t status);

/* RFC 9110 §5.1, §5.5: may a script send this name, this value? */
int http_name_valid(const char *name, uint32_t bytes);
int http_value_valid(const char *value, uint32_t bytes);
/* Number of a field name, any case; FIELD_OTHER when the table does not know it. */
enum http_field http_field_number(const char *name, uint32_t bytes);

/* IMF-fixdate (RFC 9110 §5.6.7). Writes 29 bytes. */
void http_date_format(char out[29], int64_t unix_second);
/* All three forms of RFC 9110 §5.6.7; -1 when it is none of them. */
int64_t http_date_parse(const char *text, uint32_t bytes);
