/* Field selection and the rewritten request head. */
#include "proxy/forward.h"

#include <errno.h>
#include <stdio.h>

#include "http/head.h"
#include "proxy/edit.h"
#include "proxy/gateway.h"
#include "proxy/put.inl.h"

static void set_add(struct forward_set *set, uint32_t index)
{
    set->bits[index / 64] |= UINT64_C(1) << index % 64;
}

int forward_set_has(const struct forward_set *set, uint32_t index)
{
    return index < HTTP_FIELDS_MAX && set->bits[index / 64] >> index % 64 & 1;
}

int forward_is_hop_by_hop(enum http_field id)
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
        if (forward_is_hop_by_hop((enum http_field)head->fields[i].id))
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

void forward_trailer_skip(const struct http_head *head, const char *base, struct forward_set *ret_skip)
{
    static const char *const others[] = { "age", "expires", "pragma", "www-authenticate", "set-cookie2", "authentication-info" };
    skip_hops(head, base, ret_skip);
    for (uint32_t i = 0; i < head->field_count; i++) {
        struct slice name = text_of(base, head->fields[i].name);
        if ((head->fields[i].id != FIELD_OTHER && head->fields[i].id != FIELD_ETAG) || (name.bytes > 8 && strncasecmp(name.at, "content-", 8) == 0))
            set_add(ret_skip, i);
        for (uint32_t n = 0; n < sizeof others / sizeof *others; n++)
            if (same_name(name, others[n], (uint32_t)strlen(others[n])))
                set_add(ret_skip, i);
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

/* The path with `strip` taken off, if it begins with that as whole segments, and `prefix` before what is left. */
static void put_path(struct out *out, const struct terms *terms, struct slice path)
{
    struct slice strip = terms->strip, prefix = terms->prefix;
    if (strip.bytes && strip.at[strip.bytes - 1] == '/')
        strip.bytes--;
    if (prefix.bytes && prefix.at[prefix.bytes - 1] == '/')
        prefix.bytes--;
    if (strip.bytes && path.bytes >= strip.bytes && memcmp(path.at, strip.at, strip.bytes) == 0
        && (path.bytes == strip.bytes || path.at[strip.bytes] == '/'))
        path = (struct slice){ path.at + strip.bytes, path.bytes - strip.bytes };
    put_slice(out, prefix);
    put_slice(out, path);
    if (!prefix.bytes && !path.bytes)
        PUT(out, "/");
}

static int put_target(struct out *out, const struct proxy_request *request, const struct terms *terms)
{
    const struct http_head *head = request->head;
    char *from = out->at;
    if (request->target.bytes) {
        put_slice(out, request->target);
    } else if (head->target_form == TARGET_ASTERISK) {
        PUT(out, "*");
    } else {
        struct slice path = request->path.bytes ? request->path : text_of(request->base, head->path);
        put_path(out, terms, path.bytes ? path : (struct slice){ "/", 1 });
        if (head->flags & HEAD_HAS_QUERY) {
            PUT(out, "?");
            put_slice(out, text_of(request->base, head->query));
        }
    }
    return out->full || target_is_valid((struct slice){ from, (uint32_t)(out->at - from) });
}

static void put_host(struct out *out, const struct proxy_request *request, const struct forward_way *way)
{
    const struct terms *terms = way->terms;
    struct slice own = text_of(request->base, request->head->authority);
    PUT(out, "Host: ");
    put_slice(out, terms->host == HOST_NAME ? terms->host_name : terms->host == HOST_UPSTREAM || !own.bytes ? way->host : own);
    PUT(out, "\r\n");
}

static void put_edits(struct out *out, struct slice edits)
{
    struct slice name, value;
    while (edits_next(&edits, &name, &value)) {
        put_slice(out, name);
        PUT(out, ": ");
        put_slice(out, value);
        PUT(out, "\r\n");
    }
}

static void put_end_to_end(struct out *out, const struct proxy_request *request, const struct terms *terms)
{
    struct forward_set skip;
    skip_hops(request->head, request->base, &skip);
    for (uint32_t i = 0; i < request->head->field_count; i++) {
        const struct http_field_line *field = &request->head->fields[i];
        if (forward_set_has(&skip, i) || gateway_replaces(request, terms, field))
            continue;
        if (request->edits.bytes && edits_name(request->edits, text_of(request->base, field->name)))
            continue;
        put_slice(out, text_of(request->base, field->name));
        PUT(out, ": ");
        put_slice(out, text_of(request->base, field->value));
        PUT(out, "\r\n");
    }
    put_edits(out, request->edits);
}

/* ---- what this connection alone is told ---- */

static int has_word(struct slice words, struct slice word)
{
    for (uint32_t at = 0; at < words.bytes;) {
        const char *space = memchr(words.at + at, ' ', words.bytes - at);
        uint32_t end = space ? (uint32_t)(space - words.at) : words.bytes;
        if (same_name(word, words.at + at, end - at))
            return 1;
        at = end + 1;
    }
    return 0;
}

/* HTTP/1.1, no content, and one protocol: of a list the origin could take one that was not let pass. */
struct slice forward_upgrade(const struct proxy_request *request, const struct terms *terms)
{
    const struct http_head *head = request->head;
    struct slice none = { NULL, 0 };
    if (!(head->flags & HEAD_UPGRADE) || head->minor == 0 || request->body_kind != BODY_NONE || !request->upgrades)
        return none;
    int at = http_head_find(head, FIELD_UPGRADE, 0);
    if (at < 0 || http_head_find(head, FIELD_UPGRADE, at + 1) >= 0)
        return none;
    struct slice protocol = text_of(request->base, head->fields[at].value);
    return protocol.bytes && has_word(terms->upgrades, protocol) ? protocol : none;
}

uint32_t forward_token_hash(struct slice token)
{
    uint32_t hash = 2166136261u; /* FNV-1a */
    for (uint32_t i = 0; i < token.bytes; i++)
        hash = (hash ^ (uint8_t)(token.at[i] >= 'A' && token.at[i] <= 'Z' ? token.at[i] | 0x20 : token.at[i])) * 16777619u;
    return hash | 1;
}

static void put_connection(struct out *out, const struct proxy_request *request, const struct terms *terms)
{
    struct slice upgrade = forward_upgrade(request, terms);
    if (upgrade.bytes) {
        PUT(out, "Upgrade: ");
        put_slice(out, upgrade);
        PUT(out, "\r\nConnection: Upgrade\r\n");
    } else if (request->trailers) {
        PUT(out, "TE: trailers\r\nConnection: TE\r\n");
    }
}

static int method_expects_content(uint8_t method)
{
    return method == METHOD_POST || method == METHOD_PUT || method == METHOD_PATCH;
}

static void put_framing(struct out *out, const struct proxy_request *request)
{
    char line[48];
    if (request->body_kind == BODY_CHUNKED) {
        PUT(out, "Transfer-Encoding: chunked\r\n");
    } else if (request->body_kind == BODY_LENGTH) {
        int bytes = snprintf(line, sizeof line, "Content-Length: %llu\r\n", (unsigned long long)request->length);
        put(out, line, (size_t)bytes);
    } else if (method_expects_content(request->head->method)) {
        PUT(out, "Content-Length: 0\r\n"); /* RFC 9110 §8.6 */
    }
}

int32_t forward_request(const struct proxy_request *request, const struct forward_way *way, char *out_bytes, uint32_t room)
{
    const struct http_head *head = request->head;
    struct out out = { out_bytes, out_bytes + room, 0 };
    if (head->method == METHOD_CONNECT)
        return -EINVAL;
    if (names_protected(head, request->base))
        return -EBADMSG;
    put_slice(&out, text_of(request->base, head->method_text));
    PUT(&out, " ");
    if (!put_target(&out, request, way->terms))
        return -EINVAL;
    PUT(&out, " HTTP/1.1\r\n");
    put_host(&out, request, way);
    put_end_to_end(&out, request, way->terms);
    if (!request->own)
        gateway_put(&out, request, way);
    put_connection(&out, request, way->terms);
    put_framing(&out, request);
    PUT(&out, "\r\n");
    return out.full ? -E2BIG : (int32_t)(out.at - out_bytes);
}
