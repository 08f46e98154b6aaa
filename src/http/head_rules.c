/* What the lines of a head mean and which of them are refused (RFC 9110, RFC 9112; strict where leniency is what
 * request smuggling lives on). In: lines that head_walk.inl.h has taken apart. Out: the scalar fields of struct
 * http_head, or a status and a sentence. */
#include "http/head_private.h"
#include "base/must.h"
#include "http/head_parts.inl.h"
#include "http/url.h"
#include <string.h>
#include <strings.h>

struct head_name head_names[HEAD_NAME_PLACES];
uint32_t head_name_factor;

#define TWICE(...) { __VA_ARGS__, __VA_ARGS__ }
#define ALL(byte) { [0 ... 31] = byte }
const struct head_vectors head_vectors __attribute__((aligned(32))) = {
    .rows = TWICE(0, 0, 1, 2, 4, 8, 36, 16, 0, 0, 0, 0, 0, 0, 0, 0),
    .token = TWICE(58, 31, 30, 31, 31, 31, 31, 31, 30, 30, 29, 5, 20, 5, 29, 12),
    .host = TWICE(26, 30, 30, 30, 30, 30, 30, 30, 30, 30, 28, 4, 4, 5, 5, 4),
    .nibble = ALL(0x0F), .past_controls = ALL(0x21), .colon = ALL(':'), .case_bit = ALL(0x20),
    .one = ALL(1), .hash = ALL('#'), .slash = ALL('/'), .percent = ALL('%'),
    .question = ALL('?'),
};
#undef TWICE
#undef ALL

#define PATH (BYTE_PATH | BYTE_QUERY | BYTE_SEGMENT | BYTE_VALUE)
#define ALNUM (BYTE_TOKEN | BYTE_HOST | PATH)
#define MARK (BYTE_TOKEN | PATH)
const uint8_t head_bytes[256] = {
    ['0' ... '9'] = ALNUM, ['A' ... 'Z'] = ALNUM, ['a' ... 'z'] = ALNUM,
    ['-'] = ALNUM, ['.'] = ALNUM,
    ['!'] = MARK, ['$'] = MARK, ['&'] = MARK, ['\''] = MARK, ['*'] = MARK, ['+'] = MARK,
    ['^' ... '`'] = MARK, ['|'] = MARK, ['~'] = MARK,
    ['#'] = BYTE_TOKEN | BYTE_VALUE, ['%'] = BYTE_TOKEN | BYTE_QUERY | BYTE_VALUE, ['?'] = BYTE_QUERY | BYTE_VALUE,
    ['"'] = PATH, ['('] = PATH, [')'] = PATH, [','] = PATH, ['/'] = PATH & ~BYTE_SEGMENT,
    [':' ... '>'] = PATH, ['@'] = PATH, ['[' ... ']'] = PATH, ['{'] = PATH, ['}'] = PATH,
    [' '] = BYTE_VALUE, [0x80 ... 0xFF] = BYTE_VALUE,
};
#undef PATH
#undef ALNUM
#undef MARK

/* Gives a known name its place, where that is free. */
static int names_add(uint32_t id, const char *text, uint32_t bytes)
{
    char line[40] = "-*"; /* CR LF, folded as the letters are */
    uint32_t last;
    memcpy(line + 2, text, bytes);
    memcpy(&last, line + bytes - 2, sizeof last);
    struct head_name *name = &head_names[head_name_place(last, bytes)];
    if (name->bytes != 0)
        return 0;
    *name = (struct head_name){ .bytes = bytes, .mask = ((uint32_t)1 << (bytes + 2)) - 1, .id = id };
    memcpy(name->text, text, bytes);
    memcpy(name->text + bytes, ": ", 2);
    return 1;
}

static int names_fit(void)
{
    memset(head_names, 0, sizeof head_names);
    for (int i = 0; i < HEAD_NAME_PLACES; i++)
        head_names[i].mask = ~(uint32_t)0; /* of zeros, which a folded byte is not */
#define X(id, text) \
    if (!names_add(FIELD_##id, text, sizeof text - 1)) \
        return 0;
#include "http/fields.tbl.h"
#undef X
    return 1;
}

void head_names_fill(void)
{
    head_name_factor = 0xDC20D9B3u; /* fits the names of today */
    for (int left = 1 << 20; !names_fit(); left--) {
        must(left > 0);
        head_name_factor = head_name_factor * 0x2C9277B5u + 2; /* stays odd */
    }
}

int head_refuse(struct head_walk *walk, int status, const char *reason)
{
    *walk->ret_reason = reason;
    return -status;
}

int head_refuse_control(struct head_walk *walk, uint32_t at)
{
    switch (walk->text[at]) {
    case '\n':
        return head_refuse(walk, 400, "a bare LF ends a line; CRLF is required");
    case '\r':
        return head_refuse(walk, 400, "a CR is not followed by LF");
    case '\0':
        return head_refuse(walk, 400, "a NUL byte in the head");
    default:
        return head_refuse(walk, 400, "a control character in the head");
    }
}

int head_refuse_name(struct head_walk *walk, uint32_t line, uint32_t name_bytes)
{
    char byte = walk->text[line + name_bytes];
    int blank = byte == ' ' || byte == '\t';
    if (name_bytes == 0 && blank)
        return head_refuse(walk, 400, "a line begins with white space; folded field lines are not accepted");
    if (name_bytes == 0 && byte == ':')
        return head_refuse(walk, 400, "a field line has no name");
    if (blank)
        return head_refuse(walk, 400, "white space between a field name and its colon");
    if (byte == '\r')
        return head_refuse(walk, 400, "a field line has no colon");
    return head_refuse(walk, 400, "a field name holds a character that is not allowed in it");
}

static int is_digit(char byte)
{
    return byte >= '0' && byte <= '9';
}

static int is_version(const char *text)
{
    return memcmp(text, "HTTP/", 5) == 0 && is_digit(text[5]) && text[6] == '.' && is_digit(text[7]);
}

int head_refuse_version(struct head_walk *walk, uint32_t at, uint32_t end)
{
    const char *text = walk->text;
    if (at == end)
        return head_refuse(walk, 400, "the request line is empty");
    if (end - at >= 9 && text[end - 9] == ' ' && is_version(text + end - 8))
        return head_refuse(walk, 505, "only HTTP/1.0 and HTTP/1.1 are served here");
    return head_refuse(walk, 400, "the request line does not end in a space and an HTTP version");
}

static enum http_method method_number(const char *text, uint32_t bytes)
{
#define X(id, name) \
    if (bytes == sizeof name - 1 && memcmp(text, name, sizeof name - 1) == 0) \
        return METHOD_##id;
#include "http/methods.tbl.h"
#undef X
    return METHOD_OTHER;
}

int head_rule_method(struct head_walk *walk, uint32_t at)
{
    uint32_t bytes = 0;
    while (head_bytes[(uint8_t)walk->text[at + bytes]] & BYTE_TOKEN)
        bytes++;
    if (bytes == 0 || walk->text[at + bytes] != ' ')
        return head_refuse(walk, 400, "the request line does not begin with a method and a space");
    if (bytes > 32)
        return head_refuse(walk, 400, "the method is longer than 32 bytes");
    walk->head->method = (uint8_t)method_number(walk->text + at, bytes);
    walk->head->method_text = (struct http_span){ (uint16_t)at, (uint16_t)bytes };
    return 0;
}

/* True when a segment of the path is empty (but the last), "." or ".."; it begins with '/'. */
static int path_has_dots(const char *path, uint32_t bytes)
{
    for (uint32_t i = 0; i + 1 < bytes; i++) {
        if (path[i] != '/')
            continue;
        const char *segment = path + i + 1;
        uint32_t left = bytes - i - 1, dots = 0;
        if (segment[0] == '/')
            return 1;
        while (dots < left && dots < 3 && segment[dots] == '.')
            dots++;
        if ((dots == 1 || dots == 2) && (dots == left || segment[dots] == '/'))
            return 1;
    }
    return 0;
}

/* Splits target bytes [at, end) into path and query. */
static void split_target(struct head_walk *walk, uint32_t at, uint32_t end)
{
    struct http_head *head = walk->head;
    const char *mark = memchr(walk->text + at, '?', end - at);
    uint32_t query = mark ? (uint32_t)(mark - walk->text) : end;
    head->path = (struct http_span){ (uint16_t)at, (uint16_t)(query - at) };
    if (query < end) {
        head->query = (struct http_span){ (uint16_t)(query + 1), (uint16_t)(end - query - 1) };
        head->flags |= HEAD_HAS_QUERY;
    }
    const char *path = walk->text + at;
    uint32_t bytes = query - at;
    if (memchr(path, '%', bytes) == NULL && !path_has_dots(path, bytes))
        head->flags |= HEAD_PATH_PLAIN;
}

/* RFC 9112 §3.2.2: scheme "://" authority path-abempty ["?" query]. `at` is past the "://". */
static int rule_absolute(struct head_walk *walk, uint32_t at)
{
    const char *text = walk->text;
    uint32_t end = walk->head->target.at + walk->head->target.bytes, path = at;
    while (path < end && text[path] != '/' && text[path] != '?')
        path++;
    if (path == at || http_authority_check(text + at, path - at) < 0)
        return head_refuse(walk, 400, "the authority in the target is malformed");
    walk->head->target_form = TARGET_ABSOLUTE;
    walk->head->authority = (struct http_span){ (uint16_t)at, (uint16_t)(path - at) };
    split_target(walk, path, end);
    return 0;
}

/* RFC 9112 §3.2.3: host ":" port, and nothing else. */
static int rule_authority(struct head_walk *walk)
{
    const struct http_span target = walk->head->target;
    const char *text = walk->text + target.at;
    uint32_t digits = 0;
    while (digits < target.bytes && is_digit(text[target.bytes - 1 - digits]))
        digits++;
    if (digits == 0 || digits + 1 >= target.bytes || text[target.bytes - 1 - digits] != ':' ||
        http_authority_check(text, target.bytes) < 0)
        return head_refuse(walk, 400, "the target of CONNECT is not a host and a port");
    walk->head->target_form = TARGET_AUTHORITY;
    walk->head->authority = target;
    walk->head->path = (struct http_span){ target.at, 0 };
    return 0;
}

/* RFC 9112 §3.2: visible ASCII, and a fragment is not sent. */
static int target_is_clean(const char *text, uint32_t bytes)
{
    uint32_t i = 0;
    while (i < bytes && (head_bytes[(uint8_t)text[i]] & BYTE_QUERY))
        i++;
    return i == bytes;
}

int head_rule_target(struct head_walk *walk)
{
    struct http_head *head = walk->head;
    const char *text = walk->text + head->target.at;
    uint32_t bytes = head->target.bytes;
    if (!target_is_clean(text, bytes))
        return head_refuse(walk, 400, "the target holds a byte that is not allowed in it");
    if (text[0] == '/' && head->method != METHOD_CONNECT) {
        split_target(walk, head->target.at, head->target.at + bytes);
        return 0;
    }
    if (head->method == METHOD_CONNECT)
        return rule_authority(walk);
    if (bytes == 1 && text[0] == '*') {
        if (head->method != METHOD_OPTIONS)
            return head_refuse(walk, 400, "only OPTIONS may have the target *");
        head->target_form = TARGET_ASTERISK;
        head->path = (struct http_span){ head->target.at, 0 };
        return 0;
    }
    if (bytes > 7 && strncasecmp(text, "http://", 7) == 0)
        return rule_absolute(walk, head->target.at + 7u);
    if (bytes > 8 && strncasecmp(text, "https://", 8) == 0)
        return rule_absolute(walk, head->target.at + 8u);
    return head_refuse(walk, 400, "the target is neither a path nor an http or https URL");
}

int head_rule_status_line(struct head_walk *walk, uint32_t bytes)
{
    const char *text = walk->text;
    struct http_head *head = walk->head;
    if (bytes < 12 || !is_version(text) || text[8] != ' ')
        return head_refuse(walk, 502, "the upstream's answer does not begin with a status line");
    if (text[5] != '1' || text[7] > '1')
        return head_refuse(walk, 502, "the upstream's answer is not HTTP/1.0 or HTTP/1.1");
    if (text[9] == '0' || !is_digit(text[9]) || !is_digit(text[10]) || !is_digit(text[11]) ||
        (bytes > 12 && text[12] != ' '))
        return head_refuse(walk, 502, "the upstream's status is not three digits");
    head->minor = (uint8_t)(text[7] - '0');
    head->status = (uint16_t)((text[9] - '0') * 100 + (text[10] - '0') * 10 + (text[11] - '0'));
    head->method_text = head->target = head->path = (struct http_span){ 0, 0 };
    head->target_form = 0;
    return 0;
}

/* RFC 9110 §8.6, RFC 9112 §6.3: one field, digits alone. */
static int rule_length(struct head_walk *walk, const char *value, uint32_t bytes)
{
    struct http_head *head = walk->head;
    if (head->flags & HEAD_HAS_LENGTH)
        return head_refuse(walk, 400, "two Content-Length fields");
    if (head->flags & HEAD_CHUNKED)
        return head_refuse(walk, 400, "both Transfer-Encoding and Content-Length");
    int64_t length = 0;
    for (uint32_t i = 0; i < bytes; i++) {
        if (!is_digit(value[i]))
            return head_refuse(walk, 400, "Content-Length is not a number");
        if (__builtin_mul_overflow(length, 10, &length) ||
            __builtin_add_overflow(length, value[i] - '0', &length))
            return head_refuse(walk, 400, "Content-Length is too large");
    }
    if (bytes == 0)
        return head_refuse(walk, 400, "Content-Length is empty");
    head->content_length = length;
    head->flags |= HEAD_HAS_LENGTH;
    return 0;
}

/* Any case. Inline, so that the lengths are compared as constants before anything is called. */
__attribute__((always_inline)) static inline int word_is(const char *text, uint32_t bytes, const char *word)
{
    return bytes == strlen(word) && strncasecmp(text, word, bytes) == 0;
}

/* Takes the next element of a comma-separated list (RFC 9110 §5.6.1), trimmed, from *at on. 0 at the end. */
static int list_next(const char *text, uint32_t bytes, uint32_t *at, const char **ret_word,
                     uint32_t *ret_bytes)
{
    if (*at > bytes)
        return 0;
    uint32_t from = *at, end = from;
    while (end < bytes && text[end] != ',')
        end++;
    *at = end + 1;
    while (from < end && (text[from] == ' ' || text[from] == '\t'))
        from++;
    while (end > from && (text[end - 1] == ' ' || text[end - 1] == '\t'))
        end--;
    *ret_word = text + from;
    *ret_bytes = end - from;
    return 1;
}

static int is_token(const char *text, uint32_t bytes)
{
    for (uint32_t i = 0; i < bytes; i++) {
        if (!(head_bytes[(uint8_t)text[i]] & BYTE_TOKEN))
            return 0;
    }
    return bytes > 0;
}

/* RFC 9112 §6.1. Anything but exactly "chunked" is refused: 501 when it could be a coding, 400 when it is noise. */
static int rule_coding(struct head_walk *walk, const char *value, uint32_t bytes)
{
    struct http_head *head = walk->head;
    if (head->minor == 0)
        return head_refuse(walk, 400, "Transfer-Encoding in HTTP/1.0");
    if (head->flags & HEAD_CHUNKED)
        return head_refuse(walk, 400, "two Transfer-Encoding fields");
    if (head->flags & HEAD_HAS_LENGTH)
        return head_refuse(walk, 400, "both Content-Length and Transfer-Encoding");
    if (word_is(value, bytes, "chunked")) {
        head->flags |= HEAD_CHUNKED;
        return 0;
    }
    const char *word;
    uint32_t at = 0, word_bytes;
    while (list_next(value, bytes, &at, &word, &word_bytes)) {
        if (!is_token(word, word_bytes))
            return head_refuse(walk, 400, "Transfer-Encoding is malformed");
    }
    return head_refuse(walk, 501, "the only transfer coding accepted here is chunked");
}

/* RFC 9110 §7.6.1. A sender that names a field which frames, routes or authenticates the message wants some hop to
 * drop it: refused. */
static int rule_connection(struct head_walk *walk, const char *value, uint32_t bytes)
{
    const char *word;
    uint32_t at = 0, count;
    while (list_next(value, bytes, &at, &word, &count)) {
        if (word_is(word, count, "keep-alive"))
            walk->progress->seen |= SEEN_CONNECTION_KEEP_ALIVE;
        else if (word_is(word, count, "close"))
            walk->progress->seen |= SEEN_CONNECTION_CLOSE;
        else if (word_is(word, count, "upgrade"))
            walk->progress->seen |= SEEN_CONNECTION_UPGRADE;
        else if (word_is(word, count, "host") || word_is(word, count, "content-length") ||
                 word_is(word, count, "transfer-encoding") || word_is(word, count, "authorization"))
            return head_refuse(walk, 400, "Connection names a field that must not be dropped");
        else if (count > 0 && !is_token(word, count))
            return head_refuse(walk, 400, "Connection is malformed");
    }
    return 0;
}

/* The first Host, its value known to be valid (RFC 9112 §3.2). The authority of an absolute target stays, and is
 * compared with it at the end of the head. */
static void rule_host(struct head_walk *walk, const struct http_field_line *line)
{
    walk->progress->seen |= SEEN_HOST;
    if (walk->head->target_form == TARGET_ORIGIN || walk->head->target_form == TARGET_ASTERISK)
        walk->head->authority = line->value;
}

int head_rule_field(struct head_walk *walk, const struct http_field_line *line)
{
    const char *value = walk->text + line->value.at;
    uint32_t bytes = line->value.bytes;
    switch (line->id) {
    case FIELD_HOST:
        if (walk->response)
            return 0;
        if (http_authority_check(value, bytes) < 0)
            return head_refuse(walk, 400, "the Host field is malformed");
        if (walk->progress->seen & SEEN_HOST)
            return head_refuse(walk, 400, "two Host fields");
        rule_host(walk, line);
        return 0;
    case FIELD_CONTENT_LENGTH:
        return rule_length(walk, value, bytes);
    case FIELD_TRANSFER_ENCODING:
        return rule_coding(walk, value, bytes);
    case FIELD_CONNECTION:
        return rule_connection(walk, value, bytes);
    case FIELD_EXPECT:
        if (!word_is(value, bytes, "100-continue"))
            walk->progress->seen |= SEEN_EXPECT_UNKNOWN;
        else if (walk->head->minor == 1) /* RFC 9110 §10.1.1: ignored in HTTP/1.0 */
            walk->head->flags |= HEAD_EXPECT_CONTINUE;
        return 0;
    case FIELD_UPGRADE:
        walk->progress->seen |= SEEN_UPGRADE;
        return 0;
    default:
        return 0;
    }
}

/* RFC 9112 §3.2.2 lets the target's authority win over Host; where they differ somebody is being lied to. */
static int rule_same_authority(struct head_walk *walk)
{
    const struct http_head *head = walk->head;
    int at = http_head_find(head, FIELD_HOST, 0);
    if (at < 0)
        return 0;
    const struct http_span host = head->fields[at].value;
    if (host.bytes == head->authority.bytes &&
        strncasecmp(walk->text + host.at, walk->text + head->authority.at, host.bytes) == 0)
        return 0;
    return head_refuse(walk, 400, "Host differs from the authority of the target");
}

/* What only a request is asked. */
static int rule_request(struct head_walk *walk)
{
    const struct http_head *head = walk->head;
    uint32_t seen = walk->progress->seen;
    if (head->minor == 1 && !(seen & SEEN_HOST))
        return head_refuse(walk, 400, "no Host field");
    if (head->target_form == TARGET_ABSOLUTE || head->target_form == TARGET_AUTHORITY) {
        int status = rule_same_authority(walk);
        if (status < 0)
            return status;
    }
    if (seen & SEEN_EXPECT_UNKNOWN)
        return head_refuse(walk, 417, "the only expectation known here is 100-continue");
    return 0;
}

int head_rule_end(struct head_walk *walk)
{
    struct http_head *head = walk->head;
    const uint32_t seen = walk->progress->seen, upgrade = SEEN_UPGRADE | SEEN_CONNECTION_UPGRADE;
    int status = walk->response ? 0 : rule_request(walk);
    if (status < 0)
        return status;
    if (seen & SEEN_CONNECTION_CLOSE)
        head->flags |= HEAD_CLOSE;
    else if (head->minor == 1 || (seen & SEEN_CONNECTION_KEEP_ALIVE))
        head->flags |= HEAD_KEEP_ALIVE;
    if ((seen & upgrade) == upgrade && head->minor == 1) /* RFC 9110 §7.8: ignored in HTTP/1.0 */
        head->flags |= HEAD_UPGRADE;
    return head->bytes;
}
