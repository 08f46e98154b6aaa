/* Response heads as bytes: status line, framing, Date, Server, and the fields that a script or an upstream
 * gave. */
#pragma once
#include "base/slice.h"
#include "http/message.h"

/* One field to send. Memory is lent by whoever made the list, until the head is rendered. */
struct http_out_field {
    struct http_out_field *next;
    struct slice name, value;
    uint16_t id; /* enum http_field */
    uint8_t mode; /* for whoever keeps the list */
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
    uint8_t close;          /* the connection ends after this response; FRAMING_CLOSE implies it, 101 overrules it */
    uint8_t own_date, own_server; /* the field list has its own Date or Server: leave the common one out */
    int64_t length;         /* for FRAMING_LENGTH */
    struct slice content_type; /* bytes 0: none */
    struct slice reason;       /* bytes 0: the standard phrase */
    struct slice ready;        /* lines rendered before, in place of Content-Type and the framing's; each ends with CR LF */
    uint8_t unframed;          /* the framing's is not among them */
    const struct http_out_field *fields;
};

/* 0 on success, -EINVAL when `server` has bytes that a field value must not have or is longer than 96 bytes.
 * `server` bytes 0: none. There is no Date before the first tick. */
int http_common_init(struct http_common *common, const char *server, uint32_t server_bytes);
/* `unix_second`: now. Formats once for each second. */
void http_common_tick(struct http_common *common, int64_t unix_second);

/* An upper bound of the bytes that http_render_head will write. */
uint32_t http_render_bound(const struct http_reply *reply, const struct http_common *common);
/* Writes the head, returns its length. `out` has room for http_render_bound() bytes, and the bytes of it
 * behind the head may be written too. The version is always HTTP/1.1 (RFC 9112 §2.3). `status` is 100 to
 * 999, the caller has seen to it; names and values were found valid when the list was made. Never taken
 * from the list: Content-Length, Transfer-Encoding, Connection and Keep-Alive; Content-Type when the reply
 * has one; Date and Server but for own_…; 1xx and 204 get no framing field whatever `framing` says. With
 * Upgrade in the list Connection names it. */
uint32_t http_render_head(char *out, const struct http_reply *reply, const struct http_common *common);

/* Standard phrase of a status, "Unknown" for others. */
struct slice http_status_phrase(uint16_t status);

/* RFC 9110 §5.1, §5.5: may a script send this name (a token), this value (no control but HTAB; white space
 * at its ends does no harm and is accepted, as are an empty value and bytes from 0x80)? */
int http_name_valid(const char *name, uint32_t bytes);
int http_value_valid(const char *value, uint32_t bytes);
/* Number of a field name, any case; FIELD_OTHER when the table does not know it. */
enum http_field http_field_number(const char *name, uint32_t bytes);

/* IMF-fixdate (RFC 9110 §5.6.7). Writes 29 bytes. Before 1970 it is 1970, after 9999 the end of 9999. */
void http_date_format(char out[29], int64_t unix_second);
/* All three forms of RFC 9110 §5.6.7; -1 when it is none of them, names a day that is not or another
 * weekday than that day has, or is before 1970: to be ignored, as RFC 9110 §13.1.3 says. Two-digit years:
 * 70 to 99 are 19xx. */
int64_t http_date_parse(const char *text, uint32_t bytes);
