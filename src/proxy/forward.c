/* Field selection and the rewritten request head. */
#include "proxy/forward.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "http/head.h"
#include "proxy/edit.h"

struct out {
    char *at, *end;
    int full; /* running out of room is a mark, looked at once */
};

static void put(struct out *out, const char *bytes, size_t count)
{
    if ((size_t)(out->end - out->at) < count) {
        out->full = 1;
        return;
    }
    memcpy(out->at, bytes, count);
    out->at += count;
}

static void put_text(struct out *out, const char *text)
{
    put(out, text, strlen(text));
}

static void put_slice(struct out *out, struct slice text)
{
    if (text.bytes)
        put(out, text.at, text.bytes);
}

static void put_field(struct out *out, const char *name, struct slice value)
{
    put_text(out, name);
    put(out, ": ", 2);
    put_slice(out, value);
    put(out, "\r\n", 2);
}

static struct slice text_of(const char *base, struct http_span span)
{
    return (struct slice){ base + span.at, span.bytes };
}

static int same_name(struct slice a, const char *b, uint32_t b_bytes)
{
    return a.bytes == b_bytes && strncasecmp(a.at, b, b_bytes) == 0;
}

static void set_add(struct forward_set *set, uint32_t index)
{
    set->bits[index / 64] |= UINT64_C(1) << index % 64;
}

int forward_set_has(const struct forward_set *set, uint32_t index)
{
    return index < HTTP_FIELDS_MAX && set->bits[index / 64] >> index % 64 & 1;
}

static int is_hop_by_hop(uint16_t id)
{
    switch (id) {
    case FIELD_CONNECTION:
    case FIELD_KEEP_ALIVE:
    case FIELD_PROXY_CONNECTION:
    case FIELD_PROXY_AUTHENTICATE:
    case FIELD_PROXY_AUTHORIZATION:
    case FIELD_TE:
    case FIELD_TRAILER:
    case FIELD_TRANSFER_ENCODING:
    case FIELD_UPGRADE:
        return 1;
    default:
        return 0;
    }
}

/* The next member of a list (RFC 9110 §5.6.1), from *at; 0: no more. Empty members are passed over. */
static int list_next(struct slice list, uint32_t *at, struct slice *ret)
{
    while (*at < list.bytes) {
        uint32_t from = *at, to;
        const char *comma = memchr(list.at + from, ',', list.bytes - from);
        to = comma ? (uint32_t)(comma - list.at) : list.bytes;
        *at = to + 1;
        while (from < to && (list.at[from] == ' ' || list.at[from] == '\t'))
            from++;
        while (to > from && (list.at[to - 1] == ' ' || list.at[to - 1] == '\t'))
            to--;
        if (to > from) {
            *ret = (struct slice){ list.at + from, to - from };
            return 1;
        }
    }
    return 0;
}

static void skip_named(const struct http_head *head, const char *base, struct slice name, struct forward_set *skip)
{
    for (uint32_t i = 0; i < head->field_count; i++)
        if (same_name(text_of(base, head->fields[i].name), name.at, name.bytes))
            set_add(skip, i);
}

/* What no connection may keep: the fixed hop-by-hop fields and those that Connection names. */
static void skip_hops(const struct http_head *head, const char *base, struct forward_set *ret_skip)
{
    memset(ret_skip, 0, sizeof *ret_skip);
    for (uint32_t i = 0; i < head->field_count; i++) {
        struct slice name;
        uint32_t at = 0;
        if (is_hop_by_hop(head->fields[i].id))
            set_add(ret_skip, i);
        if (head->fields[i].id != FIELD_CONNECTION)
            continue;
        while (list_next(text_of(base, head->fields[i].value), &at, &name))
            skip_named(head, base, name, ret_skip);
    }
}

void forward_response_skip(const struct http_head *head, const char *base, struct forward_set *ret_skip)
{
    skip_hops(head, base, ret_skip);
    for (uint32_t i = 0; i < head->field_count; i++)
        if (head->fields[i].id == FIELD_CONTENT_LENGTH)
            set_add(ret_skip, i);
}

/* Fields of a request that this gateway writes itself, or answers itself. "Proxy" would become HTTP_PROXY in a CGI (CVE-2016-5385). */
static int is_rewritten(const struct http_field_line *field, const struct proxy_request *request)
{
    switch (field->id) {
    case FIELD_HOST:
    case FIELD_CONTENT_LENGTH:
    case FIELD_EXPECT:
        return 1;
    case FIELD_X_FORWARDED_FOR:
    case FIELD_X_FORWARDED_PROTO:
    case FIELD_X_FORWARDED_HOST:
        return !request->own;
    case FIELD_OTHER:
        return same_name(text_of(request->base, field->name), "proxy", 5);
    default:
        return 0;
    }
}

/* A client that names one of these in Connection wants the upstream to decide without it. The parser has refused the names of
 * framing, Host and Authorization already. */
static int names_protected(const struct http_head *head, const char *base)
{
    static const char *const fields[] = { "content-type", "cookie", "forwarded", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host",
                                          "origin" };
    for (int i = http_head_find(head, FIELD_CONNECTION, 0); i >= 0; i = http_head_find(head, FIELD_CONNECTION, i + 1)) {
        struct slice name;
        uint32_t at = 0;
        while (list_next(text_of(base, head->fields[i].value), &at, &name))
            for (uint32_t n = 0; n < sizeof fields / sizeof *fields; n++)
                if (same_name(name, fields[n], (uint32_t)strlen(fields[n])))
                    return 1;
    }
    return 0;
}

static int target_is_valid(struct slice target)
{
    for (uint32_t i = 0; i < target.bytes; i++) {
        unsigned char ch = (unsigned char)target.at[i];
        if (ch <= ' ' || ch == 0x7f || ch == '#')
            return 0;
    }
    return target.bytes > 0 && (target.at[0] == '/' || (target.bytes == 1 && target.at[0] == '*'));
}

static int put_target(struct out *out, const struct proxy_request *request)
{
    const struct http_head *head = request->head;
    char *from = out->at;
    if (request->target.bytes) {
        put_slice(out, request->target);
    } else if (head->target_form == TARGET_ASTERISK) {
        put_text(out, "*");
    } else {
        struct slice path = request->path.bytes ? request->path : text_of(request->base, head->path);
        put_slice(out, path.bytes ? path : (struct slice){ "/", 1 });
        if (head->flags & HEAD_HAS_QUERY) {
            put_text(out, "?");
            put_slice(out, text_of(request->base, head->query));
        }
    }
    return out->full || target_is_valid((struct slice){ from, (uint32_t)(out->at - from) });
}

static void put_edits(struct out *out, struct slice edits)
{
    struct slice name, value;
    while (edits_next(&edits, &name, &value)) {
        put_slice(out, name);
        put(out, ": ", 2);
        put_slice(out, value);
        put(out, "\r\n", 2);
    }
}

static void put_end_to_end(struct out *out, const struct proxy_request *request)
{
    struct forward_set skip;
    skip_hops(request->head, request->base, &skip);
    for (uint32_t i = 0; i < request->head->field_count; i++) {
        const struct http_field_line *field = &request->head->fields[i];
        if (forward_set_has(&skip, i) || is_rewritten(field, request))
            continue;
        if (request->edits.bytes && edits_name(request->edits, text_of(request->base, field->name)))
            continue;
        put_slice(out, text_of(request->base, field->name));
        put(out, ": ", 2);
        put_slice(out, text_of(request->base, field->value));
        put(out, "\r\n", 2);
    }
    put_edits(out, request->edits);
}

/* What the client claims, then the client: the last member is the only one that this gateway vouches for. */
static void put_forwarded_for(struct out *out, const struct proxy_request *request)
{
    const struct http_head *head = request->head;
    int first = http_head_find(head, FIELD_X_FORWARDED_FOR, 0), any = 0;
    if (first < 0 && request->client.bytes == 0)
        return;
    put_text(out, "X-Forwarded-For: ");
    for (int i = first; i >= 0; i = http_head_find(head, FIELD_X_FORWARDED_FOR, i + 1)) {
        if (head->fields[i].value.bytes == 0)
            continue;
        put_text(out, any++ ? ", " : "");
        put_slice(out, text_of(request->base, head->fields[i].value));
    }
    if (request->client.bytes) {
        put_text(out, any ? ", " : "");
        put_slice(out, request->client);
    }
    put(out, "\r\n", 2);
}

static void put_gateway(struct out *out, const struct proxy_request *request)
{
    const struct http_head *head = request->head;
    put_text(out, head->minor ? "Via: 1.1 moongate\r\n" : "Via: 1.0 moongate\r\n"); /* as received, RFC 9110 §7.6.3 */
    put_forwarded_for(out, request);
    if (request->scheme.bytes)
        put_field(out, "X-Forwarded-Proto", request->scheme);
    if (head->authority.bytes)
        put_field(out, "X-Forwarded-Host", text_of(request->base, head->authority));
    if (request->id.bytes && http_head_find(head, FIELD_X_REQUEST_ID, 0) < 0)
        put_field(out, "X-Request-Id", request->id);
}

static int method_expects_content(uint8_t method)
{
    return method == METHOD_POST || method == METHOD_PUT || method == METHOD_PATCH;
}

static void put_framing(struct out *out, const struct proxy_request *request)
{
    char line[48];
    if (request->body_kind == BODY_CHUNKED) {
        put_text(out, "Transfer-Encoding: chunked\r\n");
    } else if (request->body_kind == BODY_LENGTH) {
        int bytes = snprintf(line, sizeof line, "Content-Length: %llu\r\n", (unsigned long long)request->length);
        put(out, line, (size_t)bytes);
    } else if (method_expects_content(request->head->method)) {
        put_text(out, "Content-Length: 0\r\n"); /* RFC 9110 §8.6 */
    }
}

int32_t forward_request(const struct proxy_request *request, struct slice host, char *out_bytes, uint32_t room)
{
    const struct http_head *head = request->head;
    struct out out = { out_bytes, out_bytes + room, 0 };
    if (head->method == METHOD_CONNECT)
        return -EINVAL;
    if (names_protected(head, request->base))
        return -EBADMSG;
    put_slice(&out, text_of(request->base, head->method_text));
    put(&out, " ", 1);
    if (!put_target(&out, request))
        return -EINVAL;
    put_text(&out, " HTTP/1.1\r\n");
    put_field(&out, "Host", head->authority.bytes ? text_of(request->base, head->authority) : host);
    put_end_to_end(&out, request);
    if (!request->own)
        put_gateway(&out, request);
    put_framing(&out, request);
    put(&out, "\r\n", 2);
    return out.full ? -E2BIG : (int32_t)(out.at - out_bytes);
}
