/* Reads patterns and hosts. Literals leave here as http_path_normalise leaves the same characters of a request: unreserved
 * characters raw, everything that a path must not hold as "%XX" with upper-case digits, so that matching compares bytes. */
#include "route/pattern.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum { QUOTED_BYTES_MAX = 60 };

struct reader {
    const char *text;
    uint32_t bytes;
    struct pattern *pattern;
    struct {
        uint32_t at, bytes;
    } names[ROUTE_CAPTURES_MAX];
    char *message;
    uint32_t message_bytes;
};

/* Positions are told as bytes counted from 1. */
__attribute__((format(printf, 3, 4))) static int refuse(const struct reader *reader, uint32_t at, const char *format, ...)
{
    bool cut = reader->bytes > QUOTED_BYTES_MAX;
    char reason[160];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(reason, sizeof reason, format, arguments);
    va_end(arguments);
    if (reader->message_bytes > 0)
        snprintf(reader->message, reader->message_bytes, "\"%.*s%s\", byte %u: %s",
                 (int)(cut ? QUOTED_BYTES_MAX : reader->bytes), reader->text, cut ? "..." : "", at + 1, reason);
    return -EINVAL;
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_control(char c)
{
    return (unsigned char)c < 0x20 || c == 0x7f;
}

/* RFC 3986 §2.3 */
static bool is_unreserved(char c)
{
    return is_letter(c) || is_digit(c) || (c != '\0' && strchr("-._~", c) != NULL);
}

/* RFC 3986 §3.3: pchar without its escapes; "*" is left out because a pattern gives it a meaning. */
static bool is_path_character(char c)
{
    return is_unreserved(c) || (c != '\0' && strchr("!$&'()+,;=:@", c) != NULL);
}

/* Printable characters that normalised patterns hold as "%XX" and that clients may send raw. */
static bool is_sent_both_ways(char c, bool first)
{
    return (c != '\0' && strchr("\"<>\\^`{|}[]*", c) != NULL) || (first && c == ':');
}

static int hex_value(char c)
{
    if (is_digit(c))
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

static void text_put(struct pattern *pattern, char c)
{
    pattern->text[pattern->text_bytes++] = c;
}

static void text_put_escape(struct pattern *pattern, char c)
{
    static const char digits[] = "0123456789ABCDEF";
    text_put(pattern, '%');
    text_put(pattern, digits[(unsigned char)c >> 4]);
    text_put(pattern, digits[(unsigned char)c & 15]);
}

/* One character at `at`, normalised. Returns how many bytes of the pattern it took, or -EINVAL. */
static int literal_character(struct reader *reader, uint32_t at, uint32_t end)
{
    char c = reader->text[at];
    if (c == '*')
        return refuse(reader, at, "a wildcard spans a whole segment; the character itself is written \"%%2A\"");
    if (is_path_character(c)) {
        text_put(reader->pattern, c);
        return 1;
    }
    if (c != '%') {
        text_put_escape(reader->pattern, c);
        return 1;
    }
    int high = at + 2 < end ? hex_value(reader->text[at + 1]) : -1;
    int low = at + 2 < end ? hex_value(reader->text[at + 2]) : -1;
    if (high < 0 || low < 0)
        return refuse(reader, at, "\"%%\" must be followed by two hexadecimal digits");
    c = (char)(high * 16 + low);
    if (c == '\0')
        return refuse(reader, at, "\"%%00\" cannot stand in a path");
    if (is_unreserved(c))
        text_put(reader->pattern, c);
    else
        text_put_escape(reader->pattern, c);
    return 3;
}

static int literal_parse(struct reader *reader, uint32_t at, uint32_t end)
{
    struct pattern *pattern = reader->pattern;
    uint32_t from = pattern->text_bytes;
    for (uint32_t next = at; next < end;) {
        int taken = literal_character(reader, next, end);
        if (taken < 0)
            return taken;
        next += (uint32_t)taken;
    }
    uint32_t bytes = pattern->text_bytes - from;
    if (bytes > 0 && bytes <= 2 && memcmp(pattern->text + from, "..", bytes) == 0)
        return refuse(reader, at, "no path has a segment \"%.*s\": it is resolved before matching", (int)bytes, "..");
    pattern->segments[pattern->segment_count++] =
        (struct pattern_segment){ .at = (uint16_t)from, .bytes = (uint16_t)bytes, .kind = PATTERN_LITERAL };
    return 0;
}

/* [A-Za-z_][A-Za-z0-9_]* from `at` to `end`, not seen before. */
static int name_parse(struct reader *reader, uint32_t at, uint32_t end, const char *what)
{
    const char *text = reader->text;
    if (is_digit(text[at]))
        return refuse(reader, at, "a name begins with a letter or \"_\"");
    for (uint32_t next = at; next < end; next++)
        if (!is_letter(text[next]) && !is_digit(text[next]) && text[next] != '_')
            return next == at ? refuse(reader, next, "a name begins with a letter or \"_\"")
                              : refuse(reader, next, "a %s spans a whole segment: nothing may follow its name", what);
    for (uint32_t i = 0; i < reader->pattern->capture_count; i++)
        if (reader->names[i].bytes == end - at && memcmp(text + reader->names[i].at, text + at, end - at) == 0)
            return refuse(reader, at, "the name \"%.*s\" is used twice", (int)(end - at), text + at);
    return 0;
}

static int capture_parse(struct reader *reader, uint32_t at, uint32_t end)
{
    struct pattern *pattern = reader->pattern;
    enum pattern_kind kind = reader->text[at] == '*' ? PATTERN_WILDCARD : PATTERN_PARAM;
    if (kind == PATTERN_WILDCARD && end != reader->bytes)
        return refuse(reader, at, "a wildcard must be the last segment");
    if (kind == PATTERN_PARAM && end == at + 1)
        return refuse(reader, at, "a parameter needs a name after \":\"");
    if (pattern->capture_count == ROUTE_CAPTURES_MAX)
        return refuse(reader, at, "more than %d captures", ROUTE_CAPTURES_MAX);
    if (end > at + 1) {
        int error = name_parse(reader, at + 1, end, kind == PATTERN_PARAM ? "parameter" : "wildcard");
        if (error)
            return error;
    }
    reader->names[pattern->capture_count].at = at + 1;
    reader->names[pattern->capture_count++].bytes = end - at - 1;
    pattern->segments[pattern->segment_count++] =
        (struct pattern_segment){ .at = (uint16_t)pattern->text_bytes, .bytes = 1, .kind = (uint8_t)kind };
    text_put(pattern, reader->text[at]);
    return 0;
}

static int segment_parse(struct reader *reader, uint32_t at, uint32_t end)
{
    if (reader->pattern->segment_count == PATTERN_SEGMENTS_MAX)
        return refuse(reader, at, "more than %d segments", PATTERN_SEGMENTS_MAX);
    text_put(reader->pattern, '/');
    if (at < end && (reader->text[at] == ':' || reader->text[at] == '*'))
        return capture_parse(reader, at, end);
    return literal_parse(reader, at, end);
}

/* What no place of a pattern may hold. */
static int bytes_check(const struct reader *reader)
{
    if (reader->bytes == 0 || reader->text[0] != '/')
        return refuse(reader, 0, "a pattern begins with \"/\"");
    if (reader->bytes > PATTERN_BYTES_MAX)
        return refuse(reader, PATTERN_BYTES_MAX, "longer than %d bytes", PATTERN_BYTES_MAX);
    for (uint32_t at = 0; at < reader->bytes; at++) {
        char c = reader->text[at];
        if (is_control(c))
            return refuse(reader, at, "a control character (0x%02X)", (unsigned char)c);
        if (c == '?' || c == '#')
            return refuse(reader, at, "\"%c\": queries and fragments are not matched", c);
    }
    return 0;
}

int pattern_parse(const char *text, uint32_t bytes, struct pattern *ret, char *ret_message, uint32_t message_bytes)
{
    struct reader reader = { .text = text, .bytes = bytes, .pattern = ret, .message = ret_message, .message_bytes = message_bytes };
    ret->segment_count = ret->capture_count = ret->text_bytes = 0;
    int error = bytes_check(&reader);
    for (uint32_t slash = 0; error == 0 && slash < bytes;) {
        const char *next = memchr(text + slash + 1, '/', bytes - slash - 1);
        uint32_t end = next ? (uint32_t)(next - text) : bytes;
        error = segment_parse(&reader, slash + 1, end);
        slash = end;
    }
    return error;
}

int route_pattern_check(const char *pattern, uint32_t bytes, char *ret_message, uint32_t message_bytes)
{
    struct pattern parsed;
    return pattern_parse(pattern, bytes, &parsed, ret_message, message_bytes);
}

uint32_t pattern_raw_spelling(const char *literal, uint32_t bytes, char *ret)
{
    uint32_t written = 0;
    bool differs = false;
    for (uint32_t at = 0; at < bytes; at++) {
        char c = literal[at];
        if (c == '%') { /* a normalised literal: two digits follow */
            char decoded = (char)(hex_value(literal[at + 1]) * 16 + hex_value(literal[at + 2]));
            if (is_sent_both_ways(decoded, at == 0)) {
                c = decoded;
                at += 2;
                differs = true;
            }
        }
        ret[written++] = c;
    }
    return differs ? written : 0;
}

static int host_label_check(const struct reader *reader, uint32_t at, uint32_t end)
{
    if (at == end)
        return refuse(reader, at, "a host has no empty label");
    for (; at < end; at++) {
        char c = reader->text[at];
        if (c == ':')
            return refuse(reader, at, "hosts are compared without a port");
        if (c == '*')
            return refuse(reader, at, "\"*\" stands only before the first dot, as in \"*.example.org\"");
        if ((unsigned char)c >= 0x80)
            return refuse(reader, at, "write the host as it is sent, in its \"xn--\" form");
        if (!is_letter(c) && !is_digit(c) && c != '-' && c != '_')
            return refuse(reader, at, "not a host name");
    }
    return 0;
}

/* "[" address "]": the brackets stay, as they do in Host (RFC 3986 §3.2.2). */
static int host_address_check(const struct reader *reader)
{
    const char *close = memchr(reader->text, ']', reader->bytes);
    if (!close)
        return refuse(reader, 0, "\"[\" without \"]\"");
    uint32_t last = (uint32_t)(close - reader->text);
    for (uint32_t at = 1; at < last; at++)
        if (hex_value(reader->text[at]) < 0 && reader->text[at] != ':' && reader->text[at] != '.')
            return refuse(reader, at, "not an IPv6 address");
    if (last == 1)
        return refuse(reader, 0, "not an IPv6 address");
    return last + 1 == reader->bytes ? 0 : refuse(reader, last + 1, "hosts are compared without a port");
}

static int host_name_check(const struct reader *reader, uint32_t at)
{
    while (at <= reader->bytes) {
        const char *dot = memchr(reader->text + at, '.', reader->bytes - at);
        uint32_t end = dot ? (uint32_t)(dot - reader->text) : reader->bytes;
        int error = host_label_check(reader, at, end);
        if (error)
            return error;
        at = end + 1;
    }
    return 0;
}

int pattern_host_parse(const char *text, uint32_t bytes, struct pattern_host *ret, char *ret_message, uint32_t message_bytes)
{
    struct reader reader = { .text = text, .bytes = bytes, .message = ret_message, .message_bytes = message_bytes };
    ret->bytes = ret->wildcard = 0;
    if (bytes == 0)
        return 0;
    if (bytes > 1 && text[bytes - 1] == '.')
        reader.bytes = --bytes;
    uint32_t from = bytes >= 2 && memcmp(text, "*.", 2) == 0 ? 2 : 0;
    int error = from == 0 && text[0] == '[' ? host_address_check(&reader) : host_name_check(&reader, from);
    if (error)
        return error;
    if (bytes - from > PATTERN_HOST_BYTES_MAX)
        return refuse(&reader, from + PATTERN_HOST_BYTES_MAX, "longer than %d bytes", PATTERN_HOST_BYTES_MAX);
    for (uint32_t at = from; at < bytes; at++)
        ret->text[at - from] = text[at] >= 'A' && text[at] <= 'Z' ? (char)(text[at] | 0x20) : text[at];
    ret->bytes = bytes - from;
    ret->wildcard = from != 0;
    return 0;
}
