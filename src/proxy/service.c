/* Reads SRV records out of a DNS message (RFC 1035 §4.1, RFC 2782). Whatever the message says, nothing beyond its end is read. */
#include "proxy/resolve_inner.h"

#include <ares.h>
#include <arpa/nameser.h>
#include <stdio.h>
#include <string.h>

enum { HEADER_BYTES = 12, RECORD_BYTES = 10, SRV_BYTES = 6 };

struct reader {
    const unsigned char *bytes, *at;
    int count;
};

static long left(const struct reader *reader)
{
    return reader->bytes + reader->count - reader->at;
}

static uint32_t number(const unsigned char *at, uint32_t bytes)
{
    uint32_t value = 0;
    for (uint32_t i = 0; i < bytes; i++)
        value = value << 8 | at[i];
    return value;
}

/* Moves behind a name, perhaps compressed. 0: it is none. */
static int skip_name(struct reader *reader)
{
    char *name;
    long bytes;
    if (left(reader) <= 0 || ares_expand_name(reader->at, reader->bytes, reader->count, &name, &bytes) != ARES_SUCCESS)
        return 0;
    ares_free_string(name);
    reader->at += bytes;
    return bytes > 0;
}

static int read_target(const struct reader *reader, uint32_t bytes, struct service_target *ret)
{
    char *name;
    long used;
    if (bytes <= SRV_BYTES || ares_expand_name(reader->at + SRV_BYTES, reader->bytes, reader->count, &name, &used) != ARES_SUCCESS)
        return 0;
    ret->priority = (uint16_t)number(reader->at, 2);
    ret->weight = (uint16_t)number(reader->at + 2, 2);
    ret->port = (uint16_t)number(reader->at + 4, 2);
    int fits = (size_t)snprintf(ret->host, sizeof ret->host, "%s", name) < sizeof ret->host;
    ares_free_string(name);
    return fits && ret->host[0] && ret->port;
}

uint32_t service_read(const unsigned char *bytes, int count, struct service_target *ret_targets, uint32_t *ret_ttl_ms)
{
    struct reader reader = { bytes, bytes + HEADER_BYTES, count };
    uint32_t found = 0, least = UINT32_MAX;
    if (count < HEADER_BYTES)
        return 0;
    for (uint32_t i = number(bytes + 4, 2); i > 0; i--) {
        if (!skip_name(&reader) || left(&reader) < 4)
            return 0;
        reader.at += 4;
    }
    for (uint32_t i = number(bytes + 6, 2); i > 0 && found < SERVICE_TARGETS_MAX; i--) {
        if (!skip_name(&reader) || left(&reader) < RECORD_BYTES)
            break;
        uint32_t type = number(reader.at, 2), ttl = number(reader.at + 4, 4), size = number(reader.at + 8, 2);
        reader.at += RECORD_BYTES;
        if (left(&reader) < (long)size)
            break;
        if (type == ns_t_srv && read_target(&reader, size, &ret_targets[found])) {
            found++;
            least = ttl < least ? ttl : least;
        }
        reader.at += size;
    }
    if (found)
        *ret_ttl_ms = least < 86400 ? least * 1000 : 86400000;
    return found;
}
