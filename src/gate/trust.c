/* Networks, and a walk from the nearest hop to the one that nobody vouches for. */
#include "gate/trust.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "http/head.h"

/* An address as text, alone or with what a proxy may write around it: "[::1]:80", "1.2.3.4:80". */
static bool read_address(struct slice text, struct peer *ret)
{
    char copy[INET6_ADDRSTRLEN];
    *ret = (struct peer){ .family = AF_INET };
    if (text.bytes && text.at[0] == '[') {
        const char *end = memchr(text.at, ']', text.bytes);
        if (!end)
            return false;
        text = (struct slice){ text.at + 1, (uint32_t)(end - text.at - 1) };
    } else {
        const char *colon = memchr(text.at, ':', text.bytes), *last = memrchr(text.at, ':', text.bytes);
        if (colon && colon == last)
            text.bytes = (uint32_t)(colon - text.at);
    }
    if (text.bytes == 0 || text.bytes >= sizeof copy)
        return false;
    memcpy(copy, text.at, text.bytes);
    copy[text.bytes] = '\0';
    if (inet_pton(AF_INET, copy, ret->bytes) == 1)
        return true;
    ret->family = AF_INET6;
    if (inet_pton(AF_INET6, copy, ret->bytes) != 1)
        return false;
    if (IN6_IS_ADDR_V4MAPPED((const struct in6_addr *)(const void *)ret->bytes)) {
        memmove(ret->bytes, ret->bytes + 12, 4);
        ret->family = AF_INET;
    }
    return true;
}

/* 1 and the bits behind the '/', or as many as the address has. */
static bool read_network(struct slice line, struct trust_network *ret)
{
    struct peer address;
    const char *slash = memchr(line.at, '/', line.bytes);
    struct slice text = { line.at, slash ? (uint32_t)(slash - line.at) : line.bytes };
    if (line.bytes == 4 && memcmp(line.at, "unix", 4) == 0) {
        *ret = (struct trust_network){ .family = AF_UNIX };
        return true;
    }
    if (!read_address(text, &address))
        return false;
    uint32_t most = address.family == AF_INET ? 32 : 128, bits = most;
    if (slash) {
        bits = 0;
        uint32_t digits = line.bytes - text.bytes - 1;
        if (digits < 1 || digits > 3)
            return false;
        for (uint32_t i = 1; i <= digits; i++) {
            if (slash[i] < '0' || slash[i] > '9')
                return false;
            bits = bits * 10 + (uint32_t)(slash[i] - '0');
        }
    }
    *ret = (struct trust_network){ .family = address.family, .bits = (uint8_t)bits };
    memcpy(ret->bytes, address.bytes, sizeof ret->bytes);
    return bits <= most;
}

int trust_read(struct trust *trust, struct slice lines)
{
    struct trust *made = calloc(1, sizeof *made);
    int error = made ? 0 : -ENOMEM;
    for (uint32_t at = 0, end; !error && at < lines.bytes; at = end + 1) {
        const char *newline = memchr(lines.at + at, '\n', lines.bytes - at);
        end = newline ? (uint32_t)(newline - lines.at) : lines.bytes;
        if (made->count == TRUST_MAX)
            error = -ENOSPC;
        else if (!read_network((struct slice){ lines.at + at, end - at }, &made->networks[made->count++]))
            error = -EINVAL;
    }
    if (!error)
        *trust = *made;
    free(made);
    return error;
}

static bool is_within(const struct trust_network *network, const struct peer *peer)
{
    uint32_t whole = network->bits / 8, rest = network->bits % 8;
    if (network->family != peer->family)
        return false;
    if (memcmp(network->bytes, peer->bytes, whole) != 0)
        return false;
    return rest == 0 || ((network->bytes[whole] ^ peer->bytes[whole]) & (0xff << (8 - rest) & 0xff)) == 0;
}

bool trust_has(const struct trust *trust, const struct peer *peer)
{
    for (uint32_t i = 0; i < trust->count; i++)
        if (is_within(&trust->networks[i], peer))
            return true;
    return false;
}

/* The last member of a list before *end, which moves on to it; bytes 0: no more. */
static struct slice list_last(struct slice list, uint32_t *end)
{
    struct slice none = { NULL, 0 };
    while (*end > 0) {
        uint32_t from = *end, to = *end;
        while (from > 0 && list.at[from - 1] != ',')
            from--;
        *end = from > 0 ? from - 1 : 0;
        while (from < to && (list.at[from] == ' ' || list.at[from] == '\t'))
            from++;
        while (to > from && (list.at[to - 1] == ' ' || list.at[to - 1] == '\t'))
            to--;
        if (to > from)
            return (struct slice){ list.at + from, to - from };
    }
    return none;
}

/* True: go on to the next hop. */
static bool step(const struct trust *trust, struct slice text, struct peer *client, bool *ret_found)
{
    struct peer hop;
    if (!read_address(text, &hop)) /* "unknown": what is before it nobody has seen */
        return false;
    *client = hop;
    *ret_found = true;
    return trust_has(trust, &hop);
}

bool trust_client(const struct trust *trust, const struct peer *peer, const struct http_head *head, const char *base, struct peer *ret_client)
{
    bool found = false, on = trust->count > 0 && trust_has(trust, peer);
    for (uint32_t i = on ? head->field_count : 0; on && i-- > 0;) {
        const struct http_field_line *field = &head->fields[i];
        if (field->id != FIELD_X_FORWARDED_FOR)
            continue;
        struct slice list = { base + field->value.at, field->value.bytes }, text;
        for (uint32_t end = list.bytes; on && (text = list_last(list, &end)).bytes;)
            on = step(trust, text, ret_client, &found);
    }
    return found;
}
