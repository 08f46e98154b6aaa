/* Response heads as bytes, and the rules for what may stand in them. A reply description comes in, the
 * bytes of its head go into the caller's room. The commonest reply (a known status, a length, a type) is a
 * few copies of known size and a number: the room has slack (http_render_bound), so that short texts are
 * copied in whole blocks and cut by moving on. */
#include "http/render.h"

#include <errno.h>
#include <string.h>

#include "http/octet.inl.h"

/* Statuses */

enum { STATUS_LINE_BYTES = 48, STATUS_TEXT_AT = sizeof("HTTP/1.1 200 ") - 1 };

enum status_row_number {
    STATUS_ROW_UNKNOWN,
#define X(status, phrase) STATUS_ROW_##status,
#include "http/status.tbl.h"
#undef X
};

static const struct status_row {
    char line[STATUS_LINE_BYTES];
    uint32_t bytes;
} status_rows[] = {
    [STATUS_ROW_UNKNOWN] = { "HTTP/1.1 000 Unknown\r\n", sizeof("HTTP/1.1 000 Unknown\r\n") - 1 },
#define STATUS_LINE(status, phrase) "HTTP/1.1 " #status " " phrase "\r\n"
#define X(status, phrase) \
    [STATUS_ROW_##status] = { STATUS_LINE(status, phrase), sizeof(STATUS_LINE(status, phrase)) - 1 },
#include "http/status.tbl.h"
#undef X
};

static const uint8_t status_numbers[600] = {
#define X(status, phrase) [status] = STATUS_ROW_##status,
#include "http/status.tbl.h"
#undef X
};

static const struct status_row *status_find(uint16_t status)
{
    return &status_rows[status < sizeof(status_numbers) ? status_numbers[status] : STATUS_ROW_UNKNOWN];
}

struct slice http_status_phrase(uint16_t status)
{
    const struct status_row *row = status_find(status);
    return (struct slice){ row->line + STATUS_TEXT_AT, row->bytes - STATUS_TEXT_AT - 2 };
}

/* Putting bytes. Each put_… returns the place behind what it wrote. */

#define PUT(out, text) put_bytes((out), "" text, sizeof(text) - 1)

static inline char *put_bytes(char *out, const char *text, uint32_t count)
{
    memcpy(out, text, count);
    return out + count;
}

/* The same for the sizes of common values, without a call: two copies that overlap. */
static inline char *put_short(char *out, const char *text, uint32_t count)
{
    if (count - 16 <= 16) {
        memcpy(out, text, 16);
        memcpy(out + count - 16, text + count - 16, 16);
    } else if (count - 8 < 8) {
        memcpy(out, text, 8);
        memcpy(out + count - 8, text + count - 8, 8);
    } else {
        memcpy(out, text, count);
    }
    return out + count;
}

static uint32_t decimal_digits(uint64_t value)
{
    static const uint64_t power[20] = {
        0, 10u, 100u, 1000u, 10000u, 100000u, 1000000u, 10000000u, 100000000u, 1000000000u,
        10000000000u, 100000000000u, 1000000000000u, 10000000000000u, 100000000000000u,
        1000000000000000u, 10000000000000000u, 100000000000000000u, 1000000000000000000u,
        10000000000000000000u,
    };
    /* 1233 / 4096 is a little more than log10(2) */
    uint32_t guess = (uint32_t)(64 - __builtin_clzll(value | 1)) * 1233 >> 12;
    return guess + (value >= power[guess]);
}

static char *put_decimal(char *out, uint64_t value)
{
    static const char pairs[] = "00010203040506070809101112131415161718192021222324"
                                "25262728293031323334353637383940414243444546474849"
                                "50515253545556575859606162636465666768697071727374"
                                "75767778798081828384858687888990919293949596979899";
    char *end = out + decimal_digits(value), *at = end;
    while (value >= 10) {
        at -= 2;
        memcpy(at, pairs + value % 100 * 2, 2);
        value /= 100;
    }
    if (at > out)
        out[0] = (char)('0' + value);
    return end;
}

/* The common lines */

enum { COMMON_BLOCK = 64 };
_Static_assert(sizeof(((struct http_common *)0)->bytes) % COMMON_BLOCK == 0, "the common lines are copied in blocks");

static uint32_t server_line_bytes(const struct http_common *common)
{
    return common->server_bytes ? common->server_bytes + (uint32_t)sizeof("Server: \r\n") - 1 : 0;
}

int http_common_init(struct http_common *common, const char *server, uint32_t server_bytes)
{
    if (server_bytes > sizeof(common->server) || !http_value_valid(server, server_bytes))
        return -EINVAL;
    *common = (struct http_common){ .second = -1, .server_bytes = server_bytes };
    if (server_bytes == 0)
        return 0;
    memcpy(common->server, server, server_bytes);
    char *at = PUT(common->bytes, "Server: ");
    at = put_bytes(at, server, server_bytes);
    at = PUT(at, "\r\n");
    common->count = (uint32_t)(at - common->bytes);
    return 0;
}

void http_common_tick(struct http_common *common, int64_t unix_second)
{
    if (common->second == unix_second)
        return;
    common->second = unix_second;
    char *at = PUT(common->bytes + server_line_bytes(common), "Date: ");
    http_date_format(at, unix_second);
    at = PUT(at + 29, "\r\n");
    common->count = (uint32_t)(at - common->bytes);
}

static char *put_common(char *out, const struct http_reply *reply, const struct http_common *common)
{
    if (reply->own_date | reply->own_server) {
        uint32_t server = server_line_bytes(common);
        if (!reply->own_server)
            out = put_bytes(out, common->bytes, server);
        return reply->own_date ? out : put_bytes(out, common->bytes + server, common->count - server);
    }
    for (uint32_t at = 0; at < common->count; at += COMMON_BLOCK)
        memcpy(out + at, common->bytes + at, COMMON_BLOCK);
    return out + common->count;
}

/* Heads */

enum {
    /* The longest of each line that is not counted below, and the slack of copying in blocks. */
    BOUND_FIXED = STATUS_LINE_BYTES + COMMON_BLOCK + sizeof("Content-Type: \r\n") +
                  sizeof("Content-Length: 18446744073709551615\r\n") +
                  sizeof("Connection: close, upgrade\r\n") + sizeof("\r\n"),
};

_Static_assert(FIELD_COUNT <= 64, "a set of fields is a 64-bit mask");
#define FIELD_BIT(id) ((uint64_t)1 << (id))

uint32_t http_render_bound(const struct http_reply *reply, const struct http_common *common)
{
    uint32_t bound = BOUND_FIXED + common->count + reply->content_type.bytes + reply->reason.bytes + reply->ready.bytes;
    for (const struct http_out_field *field = reply->fields; field; field = field->next)
        bound += field->name.bytes + field->value.bytes + 4;
    return bound;
}

static char *put_status(char *out, const struct http_reply *reply)
{
    const struct status_row *row = status_find(reply->status);
    memcpy(out, row->line, STATUS_LINE_BYTES);
    if (row == &status_rows[STATUS_ROW_UNKNOWN]) {
        out[9] = (char)('0' + reply->status / 100 % 10);
        out[10] = (char)('0' + reply->status / 10 % 10);
        out[11] = (char)('0' + reply->status % 10);
    }
    if (reply->reason.bytes == 0)
        return out + row->bytes;
    out = put_bytes(out + STATUS_TEXT_AT, reply->reason.at, reply->reason.bytes);
    return PUT(out, "\r\n");
}

/* RFC 9112 §6.1, §6.2: none in 1xx and 204. */
static char *put_framing(char *out, const struct http_reply *reply)
{
    if (reply->status < 200 || reply->status == 204)
        return out;
    if (reply->framing == FRAMING_LENGTH) {
        out = PUT(out, "Content-Length: ");
        out = put_decimal(out, (uint64_t)reply->length);
        return PUT(out, "\r\n");
    }
    return reply->framing == FRAMING_CHUNKED ? PUT(out, "Transfer-Encoding: chunked\r\n") : out;
}

/* What the list may not say because the reply says it. */
static uint64_t fields_left_out(const struct http_reply *reply, const struct http_common *common)
{
    uint64_t out = FIELD_BIT(FIELD_CONTENT_LENGTH) | FIELD_BIT(FIELD_TRANSFER_ENCODING) |
                   FIELD_BIT(FIELD_CONNECTION) | FIELD_BIT(FIELD_KEEP_ALIVE);
    uint32_t server = server_line_bytes(common);
    if (reply->content_type.bytes)
        out |= FIELD_BIT(FIELD_CONTENT_TYPE);
    if (server && !reply->own_server)
        out |= FIELD_BIT(FIELD_SERVER);
    if (common->count > server && !reply->own_date)
        out |= FIELD_BIT(FIELD_DATE);
    return out;
}

/* Adds the numbers of the fields written to `seen`. */
static char *put_fields(char *out, const struct http_out_field *field, uint64_t left_out,
                        uint64_t *seen)
{
    for (; field; field = field->next) {
        uint64_t bit = FIELD_BIT(field->id);
        if (left_out & bit)
            continue;
        *seen |= bit;
        out = put_short(out, field->name.at, field->name.bytes);
        out = PUT(out, ": ");
        out = put_short(out, field->value.at, field->value.bytes);
        out = PUT(out, "\r\n");
    }
    return out;
}

/* Who sends Upgrade names it in Connection (RFC 9110 §7.8); 101 is the end of HTTP there, not of the
 * connection. */
static char *put_connection(char *out, const struct http_reply *reply, int upgrade)
{
    int close = (reply->close || reply->framing == FRAMING_CLOSE) && reply->status != 101;
    if (upgrade && reply->minor > 0)
        return close ? PUT(out, "Connection: close, upgrade\r\n")
                     : PUT(out, "Connection: upgrade\r\n");
    if (close)
        return PUT(out, "Connection: close\r\n");
    return reply->minor == 0 ? PUT(out, "Connection: keep-alive\r\n") : out;
}

uint32_t http_render_head(char *out, const struct http_reply *reply, const struct http_common *common)
{
    char *at = put_status(out, reply);
    at = put_common(at, reply, common);
    if (reply->content_type.bytes) {
        at = PUT(at, "Content-Type: ");
        at = put_short(at, reply->content_type.at, reply->content_type.bytes);
        at = PUT(at, "\r\n");
    }
    if (reply->ready.bytes)
        at = put_bytes(at, reply->ready.at, reply->ready.bytes);
    if (!reply->ready.bytes || reply->unframed)
        at = put_framing(at, reply);
    uint64_t seen = 0;
    if (reply->fields)
        at = put_fields(at, reply->fields, fields_left_out(reply, common), &seen);
    at = put_connection(at, reply, (seen & FIELD_BIT(FIELD_UPGRADE)) != 0);
    at = PUT(at, "\r\n");
    return (uint32_t)(at - out);
}

/* What may be sent */

int http_name_valid(const char *name, uint32_t bytes)
{
    unsigned all = bytes > 0 ? OCTET_TOKEN : 0;
    for (uint32_t at = 0; at < bytes; at++)
        all &= http_octet[(uint8_t)name[at]];
    return all != 0;
}

static const uint64_t every = 0x0101010101010101;

/* The high bit of each byte of the result: that byte of `word` is a control other than HTAB. Exact for
 * every byte. */
static inline uint64_t control_bytes(uint64_t word)
{
    uint64_t low = word & every * 0x7f;
    uint64_t from_space = low + every * 0x60; /* >= 0x20 */
    uint64_t not_tab = (low ^ every * '\t') + every * 0x7f;
    uint64_t not_delete = (low ^ every * 0x7f) + every * 0x7f;
    return ((~from_space & not_tab) | ~not_delete) & ~word & every * 0x80;
}

int http_value_valid(const char *value, uint32_t bytes)
{
    uint64_t word = 0, bad = 0;
    if (bytes < 8) {
        memset(&word, ' ', sizeof(word));
        for (uint32_t at = 0; at < bytes; at++)
            word = word << 8 | (uint8_t)value[at];
        return control_bytes(word) == 0;
    }
    for (uint32_t at = 0; at + 8 < bytes; at += 8) {
        memcpy(&word, value + at, 8);
        bad |= control_bytes(word);
    }
    memcpy(&word, value + bytes - 8, 8);
    return (bad | control_bytes(word)) == 0;
}

/* Field names by number: a table of 256 slots by length, first and last byte, filled from fields.tbl.h when
 * the program is loaded. The names of today do not collide in it; a name that does goes to the next free
 * slot. */

enum { FIELD_NAME_BYTES = 32, FIELD_SLOTS = 256 };
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "short names are compared as one little-endian word");

static const struct field_name {
    char text[FIELD_NAME_BYTES];
    uint32_t bytes;
} field_names[FIELD_COUNT] = {
#define X(id, name) [FIELD_##id] = { name, sizeof(name) - 1 },
#include "http/fields.tbl.h"
#undef X
};

static uint8_t field_slots[FIELD_SLOTS];

static inline uint8_t field_slot(const char *name, uint32_t bytes)
{
    return (uint8_t)(bytes + (uint32_t)(name[0] | 0x20) * 7 + (uint32_t)(name[bytes - 1] | 0x20) * 8);
}

__attribute__((constructor)) static void field_slots_fill(void)
{
    for (unsigned id = 1; id < FIELD_COUNT; id++) {
        uint8_t slot = field_slot(field_names[id].text, field_names[id].bytes);
        while (field_slots[slot])
            slot++;
        field_slots[slot] = (uint8_t)id;
    }
}

static inline uint64_t load(const char *text, uint32_t bytes)
{
    uint64_t word = 0;
    memcpy(&word, text, bytes);
    return word;
}

/* 1 to 7 bytes in one word, the others 0. */
static inline uint64_t load_short(const char *text, uint32_t bytes)
{
    if (bytes >= 4)
        return load(text, 4) | load(text + bytes - 4, 4) << (bytes - 4) * 8;
    return load(text, 1) | load(text + bytes / 2, 1) << bytes / 2 * 8 |
           load(text + bytes - 1, 1) << (bytes - 1) * 8;
}

/* Only where the known text has a letter (0x40 set: the others are hyphens) may case differ. */
static inline uint64_t differs(uint64_t word, uint64_t known)
{
    return (word | (known & every * 0x40) >> 1) ^ known;
}

static int field_name_is(const struct field_name *known, const char *name, uint32_t bytes)
{
    if (known->bytes != bytes)
        return 0;
    if (bytes < 8)
        return differs(load_short(name, bytes), load(known->text, 8)) == 0;
    uint64_t wrong = differs(load(name + bytes - 8, 8), load(known->text + bytes - 8, 8));
    for (uint32_t at = 0; at + 8 < bytes; at += 8)
        wrong |= differs(load(name + at, 8), load(known->text + at, 8));
    return wrong == 0;
}

enum http_field http_field_number(const char *name, uint32_t bytes)
{
    if (bytes == 0)
        return FIELD_OTHER;
    for (uint8_t slot = field_slot(name, bytes); field_slots[slot]; slot++)
        if (field_name_is(&field_names[field_slots[slot]], name, bytes))
            return (enum http_field)field_slots[slot];
    return FIELD_OTHER;
}
