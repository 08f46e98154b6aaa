/* Lines, one after the other. */
#include "proxy/edit.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#include "http/render.h"

/* Takes a line off the front: 1; its value has at NULL where there is none. */
static int line_next(struct slice *edits, struct slice *ret_name, struct slice *ret_value)
{
    if (edits->bytes == 0)
        return 0;
    const char *end = memchr(edits->at, '\n', edits->bytes);
    struct slice line = { edits->at, end ? (uint32_t)(end - edits->at) : edits->bytes };
    uint32_t used = end ? line.bytes + 1 : line.bytes;
    *edits = (struct slice){ edits->at + used, edits->bytes - used };
    const char *colon = memchr(line.at, ':', line.bytes);
    *ret_name = (struct slice){ line.at, colon ? (uint32_t)(colon - line.at) : line.bytes };
    *ret_value = (struct slice){ NULL, 0 };
    if (colon)
        *ret_value = (struct slice){ colon + 1, line.bytes - ret_name->bytes - 1 };
    if (colon && ret_value->bytes && *ret_value->at == ' ')
        *ret_value = (struct slice){ ret_value->at + 1, ret_value->bytes - 1 };
    return 1;
}

/* Of the connection, of the framing, or made by whoever forwards. */
static int is_own(enum http_field id)
{
    switch (id) {
    case FIELD_HOST:
    case FIELD_CONTENT_LENGTH:
    case FIELD_TRANSFER_ENCODING:
    case FIELD_CONNECTION:
    case FIELD_KEEP_ALIVE:
    case FIELD_PROXY_CONNECTION:
    case FIELD_TE:
    case FIELD_TRAILER:
    case FIELD_UPGRADE:
    case FIELD_EXPECT:
    case FIELD_X_FORWARDED_FOR:
    case FIELD_X_FORWARDED_PROTO:
    case FIELD_X_FORWARDED_HOST:
        return 1;
    default:
        return 0;
    }
}

int edits_check(struct slice edits)
{
    struct slice name, value;
    while (line_next(&edits, &name, &value))
        if (!http_name_valid(name.at, name.bytes) || is_own(http_field_number(name.at, name.bytes))
            || (value.at && !http_value_valid(value.at, value.bytes)))
            return -EINVAL;
    return 0;
}

int edits_name(struct slice edits, struct slice name)
{
    struct slice other, value;
    while (line_next(&edits, &other, &value))
        if (other.bytes == name.bytes && strncasecmp(other.at, name.at, name.bytes) == 0)
            return 1;
    return 0;
}

int edits_next(struct slice *edits, struct slice *ret_name, struct slice *ret_value)
{
    while (line_next(edits, ret_name, ret_value))
        if (ret_value->at)
            return 1;
    return 0;
}
