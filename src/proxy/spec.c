/* Lines to values. */
#include "proxy/spec.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

enum { CONNECTIONS_MAX = 1000000, DAY_MS = 86400000 };

/* ---- words ---- */

static struct slice cut(struct slice *text, char at)
{
    const char *end = memchr(text->at, at, text->bytes);
    struct slice part = { text->at, end ? (uint32_t)(end - text->at) : text->bytes };
    uint32_t used = part.bytes + (end != NULL);
    *text = (struct slice){ text->at + used, text->bytes - used };
    return part;
}

struct slice spec_line(struct slice *lines)
{
    return cut(lines, '\n');
}

struct slice spec_word(struct slice *line)
{
    struct slice word = { line->at, 0 };
    while (line->bytes && word.bytes == 0)
        word = cut(line, ' ');
    return word;
}

static int is(struct slice word, const char *text)
{
    return word.bytes == strlen(text) && memcmp(word.at, text, word.bytes) == 0;
}

int64_t spec_number(struct slice word, uint32_t least, uint32_t most)
{
    int64_t number = 0;
    if (word.bytes == 0 || word.bytes > 10)
        return -1;
    for (uint32_t i = 0; i < word.bytes; i++) {
        if (word.at[i] < '0' || word.at[i] > '9')
            return -1;
        number = number * 10 + (word.at[i] - '0');
    }
    return number >= least && number <= most ? number : -1;
}

static int begins(struct slice word, const char *text, struct slice *ret_rest)
{
    uint32_t bytes = (uint32_t)strlen(text);
    if (word.bytes < bytes || memcmp(word.at, text, bytes) != 0)
        return 0;
    *ret_rest = (struct slice){ word.at + bytes, word.bytes - bytes };
    return 1;
}

/* ---- servers ---- */

/* NULL, or what is wrong. */
static const char *read_word(struct spec_server *server, struct slice word)
{
    struct slice rest;
    int64_t number;
    if (is(word, "backup")) {
        server->backup = 1;
    } else if (is(word, "srv")) {
        server->service = 1;
    } else if (begins(word, "max=", &rest)) {
        if ((number = spec_number(rest, 0, CONNECTIONS_MAX)) < 0)
            return "max is a number of connections up to 1000000";
        server->connections_max = (uint32_t)number;
    } else {
        if (!begins(word, "weight=", &rest))
            rest = word;
        if ((number = spec_number(rest, 1, BALANCE_WEIGHT_MAX)) < 0)
            return "a weight is a number from 1 to 1000";
        server->weight = (uint16_t)number;
    }
    return NULL;
}

static int refuse_server(struct slice text, const char *why, char *ret_message, uint32_t room)
{
    snprintf(ret_message, room, "server \"%.*s\": %s", (int)text.bytes, text.at, why);
    return -EINVAL;
}

int spec_read_server(struct spec_server *ret_server, struct slice line, char *ret_message, uint32_t message_bytes)
{
    struct spec_server server = { .weight = 1 };
    struct slice whole = line, address = spec_word(&line);
    struct proxy_address literal;
    struct address_name name;
    char why[128];
    for (struct slice word; (word = spec_word(&line)).bytes;) {
        const char *wrong = read_word(&server, word);
        if (wrong)
            return refuse_server(whole, wrong, ret_message, message_bytes);
    }
    if (address.bytes && address.at[0] == '_')
        server.service = 1;
    if (address_read(address.at, address.bytes, server.service, &literal, &name, why, sizeof why) < 0)
        return refuse_server(address, why, ret_message, message_bytes);
    memcpy(server.text, address.at, address.bytes);
    *ret_server = server;
    return 0;
}

/* ---- everything else ---- */

static const struct {
    const char *name;
    uint32_t at, least, most;
} numbers[] = {
#define ROW(name, field, least, most) { name, offsetof(struct spec_options, field), least, most }
    ROW("queue", queue_max, 0, 65535),
    ROW("queue_ms", queue_ms, 1, DAY_MS),
    ROW("connections", connections_max, 0, CONNECTIONS_MAX),
    ROW("requests", requests_max, 0, 65535),
    ROW("slow_start_ms", slow_start_ms, 0, DAY_MS),
    ROW("panic", panic_percent, 0, 100),
    ROW("ttl_min_ms", ttl_min_ms, 0, DAY_MS),
    ROW("ttl_max_ms", ttl_max_ms, 1, DAY_MS),
    ROW("ejection_errors", ejection.errors, 0, 1000000),
    ROW("ejection_ms", ejection.ms, 1, DAY_MS),
    ROW("ejection_max_ms", ejection.max_ms, 1, DAY_MS),
    ROW("check_ms", check.every_ms, 10, DAY_MS),
    ROW("check_timeout_ms", check.timeout_ms, 1, DAY_MS),
    ROW("check_rise", check.rise, 1, 1000),
    ROW("check_fall", check.fall, 1, 1000),
#undef ROW
};

static const struct {
    const char *name;
    uint32_t at, room;
} texts[] = {
#define ROW(name, field) { name, offsetof(struct spec_options, field), sizeof(((struct spec_options *)0)->field) }
    ROW("check_path", check.path),
    ROW("check_host", check.host),
    ROW("check_body", check.body),
    ROW("resolver", resolver),
#undef ROW
};

static const char *const kinds[] = { "p2c", "least-connections", "round-robin", "hash", "random" };
static const char *const keys[] = { "none", "given", "client", "path", "target", "header", "cookie" };
static const char *const checks[] = { "none", "tcp", "http" };

static int choose(struct slice word, const char *const *names, uint32_t count, uint8_t *ret)
{
    for (uint32_t i = 0; i < count; i++)
        if (is(word, names[i])) {
            *ret = (uint8_t)i;
            return 1;
        }
    return 0;
}

static int read_key(struct spec_options *o, struct slice value)
{
    struct slice word = spec_word(&value);
    if (!choose(word, keys, sizeof keys / sizeof *keys, &o->key))
        return 0;
    if (o->key != KEY_HEADER && o->key != KEY_COOKIE)
        return value.bytes == 0;
    if (value.bytes == 0 || value.bytes >= sizeof o->key_name)
        return 0;
    memcpy(o->key_name, value.at, value.bytes);
    o->key_name[value.bytes] = 0;
    return 1;
}

/* "200-399" or "204". */
static int read_statuses(struct spec_check_options *check, struct slice value)
{
    struct slice first = cut(&value, '-');
    int64_t from = spec_number(first, 200, 599), to = value.bytes ? spec_number(value, 200, 599) : from;
    if (from < 0 || to < from)
        return 0;
    check->status_from = (uint16_t)from;
    check->status_to = (uint16_t)to;
    return 1;
}

static int read_number(struct spec_options *o, struct slice key, struct slice value, int *ret_known)
{
    for (uint32_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        if (!is(key, numbers[i].name))
            continue;
        int64_t number = spec_number(value, numbers[i].least, numbers[i].most);
        *ret_known = 1;
        if (number < 0)
            return 0;
        uint32_t narrow = (uint32_t)number;
        memcpy((char *)o + numbers[i].at, &narrow, sizeof narrow);
        return 1;
    }
    return 0;
}

static int read_text(struct spec_options *o, struct slice key, struct slice value)
{
    for (uint32_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        if (!is(key, texts[i].name) || value.bytes >= texts[i].room)
            continue;
        char *at = (char *)o + texts[i].at;
        memcpy(at, value.at, value.bytes);
        at[value.bytes] = 0;
        return 1;
    }
    return 0;
}

static int read_option(struct spec_options *o, struct slice line)
{
    struct slice key = spec_word(&line);
    int known = 0, ok = read_number(o, key, line, &known);
    if (known)
        return ok;
    if (is(key, "balance"))
        return choose(line, kinds, sizeof kinds / sizeof *kinds, &o->kind);
    if (is(key, "hash"))
        return read_key(o, line);
    if (is(key, "check"))
        return choose(line, checks, sizeof checks / sizeof *checks, &o->check.kind);
    if (is(key, "check_status"))
        return read_statuses(&o->check, line);
    return read_text(o, key, line);
}

static const struct spec_options initial = {
    .queue_max = 1024,
    .queue_ms = 5000,
    .panic_percent = 50,
    .ttl_min_ms = 1000,
    .ttl_max_ms = 300000,
    .ejection = { .errors = 5, .ms = 10000, .max_ms = 300000 },
    .check = { .status_from = 200, .status_to = 399, .every_ms = 5000, .timeout_ms = 2000, .rise = 2, .fall = 3, .path = "/" },
};

/* A server's address has a colon in its first word, begins like a service, or is said to be one. */
static int is_server(struct slice line)
{
    struct slice word = spec_word(&line);
    if (memchr(word.at, ':', word.bytes) || (word.bytes && word.at[0] == '_'))
        return 1;
    while (line.bytes)
        if (is(spec_word(&line), "srv"))
            return 1;
    return 0;
}

static int read_line(struct spec *spec, struct slice line, char *ret_message, uint32_t room)
{
    if (!is_server(line)) {
        if (read_option(&spec->options, line))
            return 0;
        /* so that what was meant as a server is told what a server looks like */
        struct spec_server server;
        return memchr(line.at, ' ', line.bytes) ? refuse_server(line, "it is neither a server nor an option", ret_message, room)
                                                : spec_read_server(&server, line, ret_message, room);
    }
    if (spec->server_count == SPEC_SERVERS_MAX) {
        snprintf(ret_message, room, "an upstream has at most %d servers", SPEC_SERVERS_MAX);
        return -EINVAL;
    }
    int error = spec_read_server(&spec->servers[spec->server_count], line, ret_message, room);
    spec->server_count += !error;
    return error;
}

int spec_read(struct spec *ret_spec, struct slice lines, char *ret_message, uint32_t message_bytes)
{
    memset(ret_spec, 0, sizeof *ret_spec);
    ret_spec->options = initial;
    while (lines.bytes) {
        struct slice line = spec_line(&lines);
        int error = line.bytes ? read_line(ret_spec, line, ret_message, message_bytes) : 0;
        if (error)
            return error;
    }
    return 0;
}
