/* Content framing: length, chunks, until the close (RFC 9112 §6, §7). Bytes of the connection come in,
 * in any pieces; runs of content go out as offsets into the piece. Nothing is copied and nothing but
 * struct http_body is remembered.
 *
 * A chunked body, one byte of framing at a time:
 *
 *   SIZE ─";"─▶ EXT ─▶ EXT_NAME ─"="─▶ EXT_VALUE ─▶ EXT_TOKEN
 *    │                    │                └─'"'─▶ EXT_QUOTED ─'"'─▶ EXT_END      (EXT_QUOTED ⇄ EXT_ESCAPE)
 *    └─────── CR ─────────┴───────────── from all three ends: CR ─▶ SIZE_LF, ";" ─▶ EXT
 *   SIZE_LF ─ size > 0 ─▶ DATA ─▶ DATA_CR ─▶ DATA_LF ─▶ SIZE
 *      └───── size = 0 ─▶ LINE ─ token ─▶ NAME ─":"─▶ VALUE ─CR─▶ VALUE_LF ─▶ LINE
 *                          └──── CR ─▶ LAST_LF ─▶ DONE
 *
 * Any byte without an arrow makes the message malformed, for good. */
#include "http/body.h"

#include "http/octet.inl.h"

enum body_state {
    STATE_SIZE,
    STATE_EXT, STATE_EXT_NAME, STATE_EXT_VALUE, STATE_EXT_TOKEN, STATE_EXT_QUOTED, STATE_EXT_ESCAPE,
    STATE_EXT_END, STATE_SIZE_LF,
    STATE_DATA, STATE_DATA_CR, STATE_DATA_LF,
    STATE_LINE, STATE_NAME, STATE_VALUE, STATE_VALUE_LF, STATE_LAST_LF,
    STATE_DONE, STATE_FAILED,
};

enum {
    BAD_REQUEST = -400,
    SIZE_DIGITS_MAX = 16,
    EXTENSION_BYTES_MAX = 256,    /* per chunk, from the first ';' */
    FRAMING_FREE_BYTES = 16384,   /* framing that any body may have … */
    FRAMING_PER_CONTENT = 8,      /* … and per byte of content: one-byte chunks cost 5 */
    TRAILER_BYTES_MAX = 8192,
    TRAILER_LINES_MAX = 64,
};

/* Names that must not come as trailers (RFC 9110 §6.5.1), each a bit in `trailer_seen` while the name
 * still agrees. */
static const char *const forbidden[] = {
    "content-length", "transfer-encoding", "host", "authorization",
};
enum {
    FORBIDDEN_COUNT = sizeof(forbidden) / sizeof(forbidden[0]),
    FORBIDDEN_ALL = (1 << FORBIDDEN_COUNT) - 1,
};

/* Beginning */

static void begin(struct http_body *body, enum http_body_kind kind, uint64_t length)
{
    *body = (struct http_body){ .kind = (uint8_t)kind, .left = length, .state = STATE_SIZE };
    body->done = kind == BODY_NONE || (kind == BODY_LENGTH && length == 0);
}

void http_body_begin_request(struct http_body *body, const struct http_head *head)
{
    if (head->flags & HEAD_CHUNKED)
        begin(body, BODY_CHUNKED, 0);
    else if (head->flags & HEAD_HAS_LENGTH)
        begin(body, BODY_LENGTH, (uint64_t)head->content_length);
    else
        begin(body, BODY_NONE, 0);
}

/* RFC 9112 §6.3, rules 1 and 2: no content, whatever the fields say. */
static int response_is_empty(uint16_t status, enum http_method request_method)
{
    return request_method == METHOD_HEAD || status < 200 || status == 204 || status == 304 ||
           (request_method == METHOD_CONNECT && status < 300);
}

void http_body_begin_response(struct http_body *body, const struct http_head *head,
                              enum http_method request_method)
{
    if (response_is_empty(head->status, request_method))
        begin(body, BODY_NONE, 0);
    else if (head->flags & (HEAD_CHUNKED | HEAD_HAS_LENGTH))
        http_body_begin_request(body, head);
    else
        begin(body, BODY_UNTIL_CLOSE, 0);
}

/* Chunk sizes and extensions. Each step takes one byte of framing and returns the next state, or
 * STATE_FAILED. */

static enum body_state size_step(struct http_body *body, char c)
{
    if (octet_is(c, OCTET_HEX)) {
        if (body->line_bytes == SIZE_DIGITS_MAX || body->left > INT64_MAX >> 4)
            return STATE_FAILED;
        body->left = body->left << 4 | octet_value(c);
        body->line_bytes++;
        return STATE_SIZE;
    }
    if (body->line_bytes == 0 || (c != ';' && c != '\r'))
        return STATE_FAILED;
    body->line_bytes = 1;
    return c == ';' ? STATE_EXT : STATE_SIZE_LF;
}

/* Where an extension may end. */
static enum body_state extension_end(char c)
{
    return c == '\r' ? STATE_SIZE_LF : c == ';' ? STATE_EXT : STATE_FAILED;
}

static enum body_state quoted_step(char c)
{
    if (c == '"')
        return STATE_EXT_END;
    if (c == '\\')
        return STATE_EXT_ESCAPE;
    return c == '\t' || !octet_is(c, OCTET_CONTROL) ? STATE_EXT_QUOTED : STATE_FAILED;
}

/* chunk-ext = *( ";" token [ "=" ( token / quoted-string ) ] ), without the "bad" white space of
 * RFC 9112 §7.1.1. */
static enum body_state extension_step(struct http_body *body, char c)
{
    if (c != '\r' && ++body->line_bytes > EXTENSION_BYTES_MAX)
        return STATE_FAILED;
    int token = octet_is(c, OCTET_TOKEN);
    switch (body->state) {
    case STATE_EXT:
        return token ? STATE_EXT_NAME : STATE_FAILED;
    case STATE_EXT_NAME:
        return token ? STATE_EXT_NAME : c == '=' ? STATE_EXT_VALUE : extension_end(c);
    case STATE_EXT_VALUE:
        return token ? STATE_EXT_TOKEN : c == '"' ? STATE_EXT_QUOTED : STATE_FAILED;
    case STATE_EXT_TOKEN:
        return token ? STATE_EXT_TOKEN : extension_end(c);
    case STATE_EXT_QUOTED:
        return quoted_step(c);
    case STATE_EXT_ESCAPE:
        return c == '\t' || !octet_is(c, OCTET_CONTROL) ? STATE_EXT_QUOTED : STATE_FAILED;
    default: /* STATE_EXT_END */
        return extension_end(c);
    }
}

/* The size line is complete. A body that is nearly all framing costs more than it is worth
 * (the class of CVE-2023-39326). */
static enum body_state size_line_end(struct http_body *body, char c)
{
    if (c != '\n' || body->framing > FRAMING_FREE_BYTES + FRAMING_PER_CONTENT * body->content)
        return STATE_FAILED;
    body->line_bytes = 0;
    return body->left ? STATE_DATA : STATE_LINE;
}

/* Trailers: checked as field lines are, bounded, dropped. */

static enum body_state name_step(struct http_body *body, char c)
{
    if (c == ':') {
        for (int i = 0; i < FORBIDDEN_COUNT; i++)
            if ((body->trailer_seen & 1 << i) && forbidden[i][body->line_bytes] == '\0')
                return STATE_FAILED;
        return STATE_VALUE;
    }
    if (!octet_is(c, OCTET_TOKEN))
        return STATE_FAILED;
    char lower = c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
    for (int i = 0; i < FORBIDDEN_COUNT; i++)
        if ((body->trailer_seen & 1 << i) && forbidden[i][body->line_bytes] != lower)
            body->trailer_seen = (uint8_t)(body->trailer_seen & ~(1 << i));
    body->line_bytes++;
    return STATE_NAME;
}

/* The first byte of a line: of a name, or of the end. White space, which would fold the line before
 * (RFC 9112 §5.2), is no token. */
static enum body_state line_step(struct http_body *body, char c)
{
    if (c == '\r')
        return STATE_LAST_LF;
    if (c == ':' || ++body->trailer_count > TRAILER_LINES_MAX)
        return STATE_FAILED;
    body->line_bytes = 0;
    body->trailer_seen = FORBIDDEN_ALL;
    body->trailer_bytes++;
    return name_step(body, c);
}

static enum body_state trailer_step(struct http_body *body, char c)
{
    if (++body->trailer_bytes > TRAILER_BYTES_MAX)
        return STATE_FAILED;
    switch (body->state) {
    case STATE_NAME:
        return name_step(body, c);
    case STATE_VALUE:
        if (c == '\r')
            return STATE_VALUE_LF;
        return c == '\t' || !octet_is(c, OCTET_CONTROL) ? STATE_VALUE : STATE_FAILED;
    default: /* STATE_VALUE_LF */
        return c == '\n' ? STATE_LINE : STATE_FAILED;
    }
}

/* The machine */

static enum body_state framing_step(struct http_body *body, char c)
{
    body->framing++;
    switch (body->state) {
    case STATE_SIZE:
        return size_step(body, c);
    case STATE_SIZE_LF:
        return size_line_end(body, c);
    case STATE_DATA_CR:
        return c == '\r' ? STATE_DATA_LF : STATE_FAILED;
    case STATE_DATA_LF:
        return c == '\n' ? STATE_SIZE : STATE_FAILED;
    case STATE_LINE:
        return line_step(body, c);
    case STATE_NAME:
    case STATE_VALUE:
    case STATE_VALUE_LF:
        return trailer_step(body, c);
    case STATE_LAST_LF:
        return c == '\n' ? STATE_DONE : STATE_FAILED;
    case STATE_FAILED:
        return STATE_FAILED;
    default:
        return extension_step(body, c);
    }
}

/* Takes as much of what is left of a chunk or of a message as is in `count` bytes. Returns it. */
static uint32_t content_take(struct http_body *body, uint32_t count)
{
    uint32_t run = body->left < count ? (uint32_t)body->left : count;
    body->left -= run;
    body->content += run;
    return run;
}

static int64_t chunked_next(struct http_body *body, const char *bytes, uint32_t count,
                            uint32_t *ret_at, uint32_t *ret_bytes)
{
    uint32_t at = 0;
    while (at < count && body->state != STATE_DATA && body->state != STATE_DONE) {
        body->state = (uint8_t)framing_step(body, bytes[at++]);
        if (body->state == STATE_FAILED)
            return BAD_REQUEST;
    }
    uint32_t run = 0;
    if (body->state == STATE_DATA) {
        run = content_take(body, count - at);
        if (body->left == 0)
            body->state = STATE_DATA_CR;
    }
    body->done = body->state == STATE_DONE;
    *ret_at = at;
    *ret_bytes = run;
    return (int64_t)at + run;
}

int64_t http_body_next(struct http_body *body, const char *bytes, uint32_t count, uint32_t *ret_at,
                       uint32_t *ret_bytes)
{
    if (body->kind == BODY_CHUNKED)
        return chunked_next(body, bytes, count, ret_at, ret_bytes);
    uint32_t run = 0;
    if (body->kind == BODY_UNTIL_CLOSE) {
        run = count;
        body->content += count;
    } else if (body->kind == BODY_LENGTH) {
        run = content_take(body, count);
        body->done = body->left == 0;
    }
    *ret_at = 0;
    *ret_bytes = run;
    return run;
}

int http_body_is_ending(const struct http_body *body)
{
    return body->kind == BODY_CHUNKED && body->state == STATE_LAST_LF;
}
