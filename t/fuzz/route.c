/* Route programs against a naive matcher that reads the patterns again at every request.
 * Input: lines. "+M HOST/PATTERN" adds a route (the host may be empty), any other "M HOST/PATH" is a request; M is one character
 * that chooses the methods. All routes are added first; then each request is asked for candidate after candidate. */
#include "route/program.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { ROUTES_MAX = 64, REQUESTS_MAX = 64 };

struct text {
    const char *at;
    uint32_t bytes;
};

struct rule {
    struct text host, pattern;
    uint32_t methods;
};

/* What one rule says of one request: how it ranks among those that fit, and what it captures. */
struct answer {
    uint32_t rule;
    uint8_t rank[300]; /* host, then the kinds of the segments, then the methods: the lesser array of bytes wins */
    uint32_t capture_count;
    struct route_capture captures[ROUTE_CAPTURES_MAX];
};

static struct rule rules[ROUTES_MAX];
static uint32_t rule_count;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void claim(int holds)
{
    if (!holds)
        abort();
}

static struct text text_to(struct text text, char stop)
{
    const char *end = text.bytes ? memchr(text.at, stop, text.bytes) : NULL;
    return (struct text){ text.at, end ? (uint32_t)(end - text.at) : text.bytes };
}

static struct text text_from(struct text text, uint32_t at)
{
    at = at < text.bytes ? at : text.bytes;
    return (struct text){ text.at + at, text.bytes - at };
}

static int is_same_host(struct text a, struct text b)
{
    if (a.bytes != b.bytes)
        return 0;
    for (uint32_t at = 0; at < a.bytes; at++)
        if (tolower((unsigned char)a.at[at]) != tolower((unsigned char)b.at[at]))
            return 0;
    return 1;
}

static struct text host_trim(struct text host)
{
    int is_address = host.bytes && host.at[0] == '[';
    struct text name = text_to(host, is_address ? ']' : ':');
    if (is_address)
        name.bytes = name.bytes < host.bytes ? name.bytes + 1 : 0;
    if (name.bytes > 1 && name.at[name.bytes - 1] == '.')
        name.bytes--;
    return name;
}

/* 0: exact; 255: any; between: the longer the suffix the less. -1: does not fit. */
static int host_rank(struct text rule, struct text host)
{
    if (rule.bytes == 0)
        return 255;
    if (rule.bytes > 1 && rule.at[rule.bytes - 1] == '.')
        rule.bytes--;
    host = host_trim(host);
    if (rule.at[0] != '*')
        return is_same_host(rule, host) ? 0 : -1;
    struct text suffix = text_from(rule, 1);
    if (host.bytes <= suffix.bytes || !is_same_host(suffix, text_from(host, host.bytes - suffix.bytes)))
        return -1;
    return 254 - (int)(suffix.bytes < 253 ? suffix.bytes : 253);
}

static char decoded(struct text text, uint32_t *at)
{
    char digits[3] = { 0 };
    if (text.at[*at] != '%')
        return text.at[(*at)++];
    memcpy(digits, text.at + *at + 1, 2);
    *at += 3;
    return (char)strtoul(digits, NULL, 16);
}

/* Is `segment` the literal, written with all odd characters escaped (raw = 0) or with those that have two spellings raw? */
static int literal_is(struct text literal, struct text segment, int raw)
{
    static const char digits[] = "0123456789ABCDEF";
    uint32_t to = 0;
    for (uint32_t at = 0; at < literal.bytes;) {
        uint32_t from = at;
        int escaped = literal.at[at] == '%';
        unsigned char c = (unsigned char)decoded(literal, &at);
        int plain = c < 0x80 && (isalnum(c) || strchr("-._~", c) || (!escaped && strchr("!$&'()+,;=:@", c)));
        if (raw && c < 0x80 && (strchr("\"<>\\^`{|}[]*", c) || (c == ':' && from == 0)))
            plain = 1;
        const char spelled[3] = { plain ? (char)c : '%', digits[c >> 4], digits[c & 15] };
        uint32_t count = plain ? 1 : 3;
        if (to + count > segment.bytes || memcmp(segment.at + to, spelled, count) != 0)
            return 0;
        to += count;
    }
    return to == segment.bytes;
}

static int pattern_fits(struct text pattern, struct text path, struct answer *answer, uint8_t *kinds)
{
    uint32_t at = 0;
    answer->capture_count = 0;
    while (pattern.bytes > 0 && at < path.bytes) {
        struct text want = text_to(text_from(pattern, 1), '/'), have = text_to(text_from(path, at + 1), '/');
        char first = want.bytes ? want.at[0] : 0;
        struct route_capture capture = { (uint16_t)(at + 1), (uint16_t)have.bytes };
        *kinds++ = first == '*' ? 3 : first == ':' ? 2 : 1;
        if (first == '*') {
            capture.bytes = (uint16_t)(path.bytes - at - 1);
            answer->captures[answer->capture_count++] = capture;
            return 1;
        }
        if (first == ':' && have.bytes > 0)
            answer->captures[answer->capture_count++] = capture;
        else if (first == ':' || (!literal_is(want, have, 0) && !literal_is(want, have, 1)))
            return 0;
        pattern = text_from(pattern, want.bytes + 1);
        at += have.bytes + 1;
    }
    return pattern.bytes == 0 && at == path.bytes;
}

static uint32_t effective_methods(uint32_t methods)
{
    return methods | (methods & 1u << ROUTE_METHOD_GET ? 1u << ROUTE_METHOD_HEAD : 0);
}

static int answer_make(uint32_t number, struct text host, struct text path, struct answer *ret)
{
    const struct rule *rule = &rules[number];
    int first = host_rank(rule->host, host);
    memset(ret->rank, 0, sizeof ret->rank);
    if (first < 0 || !pattern_fits(rule->pattern, path, ret, ret->rank + 1))
        return 0;
    ret->rule = number;
    ret->rank[0] = (uint8_t)first;
    ret->rank[sizeof ret->rank - 1] = rule->methods == UINT32_MAX ? 2 : !(rule->methods & 1u << ROUTE_METHOD_HEAD);
    return 1;
}

static int answer_order(const void *a, const void *b)
{
    return memcmp(((const struct answer *)a)->rank, ((const struct answer *)b)->rank, sizeof((struct answer *)0)->rank);
}

static void request_check(const struct route_program *program, uint32_t method, struct text host, struct text path)
{
    static struct answer answers[ROUTES_MAX];
    struct route_match match;
    uint32_t count = 0, allow = 0;
    for (uint32_t i = 0; i < rule_count; i++) {
        if (!answer_make(i, host, path, &answers[count]))
            continue;
        allow |= effective_methods(rules[i].methods);
        count += (effective_methods(rules[i].methods) >> method & 1);
    }
    qsort(answers, count, sizeof answers[0], answer_order);
    for (uint32_t skip = 0; skip <= count; skip++) {
        uint32_t steps = route_match_counted(program, host.at, host.bytes, method, path.at, path.bytes, skip, &match);
        claim(steps <= program->steps_max);
        if (skip == count) {
            claim(match.route == ROUTE_NONE && match.allow == allow);
        } else {
            claim(match.route == (int32_t)answers[skip].rule && match.capture_count == answers[skip].capture_count);
            claim(memcmp(match.captures, answers[skip].captures, match.capture_count * sizeof match.captures[0]) == 0);
        }
    }
}

static uint32_t methods_of(char c)
{
    uint32_t low = (uint32_t)c & 31;
    return low == 31 || low == 0 ? UINT32_MAX : low;
}

static void rule_add(struct route_builder *builder, char methods, struct text line)
{
    char message[256] = "";
    int32_t other = -1;
    struct text host = text_to(line, '/'), pattern = text_from(line, host.bytes);
    int checked = route_pattern_check(pattern.at, pattern.bytes, message, sizeof message);
    claim((checked != 0) == (message[0] != '\0'));
    if (rule_count == ROUTES_MAX || pattern.bytes > 500)
        return;
    int error = route_add(builder, host.at, host.bytes, pattern.at, pattern.bytes, methods_of(methods), (int32_t)rule_count,
                          message, sizeof message, &other);
    claim(error == 0 || message[0] != '\0');
    claim(checked == 0 || error == -EINVAL);
    claim(error != -EEXIST || (other >= 0 && other < (int32_t)rule_count));
    if (error == 0)
        rules[rule_count++] = (struct rule){ host, pattern, methods_of(methods) };
}

/* Lines are handed on in blocks of their own size, so that a read past the end is seen. */
static void lines_run(const char *lines, uint32_t bytes, struct route_builder *builder, const struct route_program *program)
{
    uint32_t requests = 0;
    for (struct text rest = { lines, bytes }; rest.bytes > 0;) {
        struct text line = text_to(rest, '\n');
        rest = text_from(rest, line.bytes + 1);
        int is_rule = line.bytes > 2 && line.at[0] == '+';
        if (builder && is_rule)
            rule_add(builder, line.at[1], text_from(line, line.bytes > 3 && line.at[2] == ' ' ? 3 : 2));
        if (builder || is_rule || line.bytes < 2 || ++requests > REQUESTS_MAX)
            continue;
        struct text target = text_from(line, line.at[1] == ' ' ? 2 : 1), host = text_to(target, '/');
        struct text path = text_from(target, host.bytes);
        char *copy = malloc(path.bytes + 1);
        memcpy(copy, path.at, path.bytes);
        copy = realloc(copy, path.bytes ? path.bytes : 1);
        if (host.bytes <= 253)
            request_check(program, (uint32_t)line.at[0] & 7, host, (struct text){ copy, path.bytes });
        free(copy);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 1 << 14)
        return 0;
    rule_count = 0;
    struct route_builder *builder = route_builder_new();
    lines_run((const char *)data, (uint32_t)size, builder, NULL);
    struct route_program *program = route_compile(builder);
    route_builder_free(builder);
    lines_run((const char *)data, (uint32_t)size, NULL, program);
    route_program_free(program);
    return 0;
}
