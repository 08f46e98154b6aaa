/* What of a request its server is chosen by, as far as C can see it. */
#include <string.h>
#include <strings.h>

#include "proxy/inner.h"

static struct slice field_named(const struct proxy_request *request, const char *name)
{
    uint32_t bytes = (uint32_t)strlen(name);
    for (uint32_t i = 0; i < request->head->field_count; i++) {
        const struct http_field_line *line = &request->head->fields[i];
        if (line->name.bytes == bytes && strncasecmp(request->base + line->name.at, name, bytes) == 0)
            return (struct slice){ request->base + line->value.at, line->value.bytes };
    }
    return (struct slice){ 0 };
}

/* "name=value" among those of a Cookie field (RFC 6265 §4.2.1). */
static struct slice cookie_in(struct slice text, const char *name)
{
    uint32_t bytes = (uint32_t)strlen(name);
    while (text.bytes) {
        const char *end = memchr(text.at, ';', text.bytes);
        uint32_t part = end ? (uint32_t)(end - text.at) : text.bytes;
        if (part > bytes && memcmp(text.at, name, bytes) == 0 && text.at[bytes] == '=')
            return (struct slice){ text.at + bytes + 1, part - bytes - 1 };
        uint32_t used = part + (end != NULL);
        text = (struct slice){ text.at + used, text.bytes - used };
        while (text.bytes && *text.at == ' ')
            text = (struct slice){ text.at + 1, text.bytes - 1 };
    }
    return (struct slice){ 0 };
}

static struct slice cookie_named(const struct proxy_request *request, const char *name)
{
    for (uint32_t i = 0; i < request->head->field_count; i++) {
        const struct http_field_line *line = &request->head->fields[i];
        if (line->name.bytes != 6 || strncasecmp(request->base + line->name.at, "cookie", 6) != 0)
            continue;
        struct slice value = cookie_in((struct slice){ request->base + line->value.at, line->value.bytes }, name);
        if (value.bytes)
            return value;
    }
    return (struct slice){ 0 };
}

static struct slice target_of(const struct proxy_request *request)
{
    const struct http_head *head = request->head;
    if (request->target.bytes)
        return request->target;
    return (struct slice){ request->base + head->target.at, head->target.bytes };
}

static struct slice key_text(const struct spec_options *options, const struct proxy_request *request)
{
    switch ((enum spec_key)options->key) {
    case KEY_CLIENT:
        return request->client;
    case KEY_PATH:
        return request->path;
    case KEY_TARGET:
        return target_of(request);
    case KEY_HEADER:
        return field_named(request, options->key_name);
    case KEY_COOKIE:
        return cookie_named(request, options->key_name);
    case KEY_NONE:
    case KEY_GIVEN:
        break;
    }
    return (struct slice){ 0 };
}

uint64_t upstream_key(const struct upstream *upstream, const struct proxy_request *request)
{
    struct slice text = request->key;
    if (text.bytes == 0 && upstream->balance.kind == BALANCE_HASH)
        text = key_text(&upstream->spec.options, request);
    return balance_hash(text.at, text.bytes);
}
