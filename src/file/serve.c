/* Preconditions in their order, ranges, codings. */
#include "file/serve.h"

#include <string.h>
#include <strings.h>

#include "base/slice.h"
#include "http/render.h"

enum { GAP_BYTES = 80 }; /* as much as a part of a multipart answer costs: ranges that are nearer are sent as one */

/* What a request is judged by. */
struct judged {
    const struct file_version *version;
    const struct http_head *head;
    const char *base;
    double now;
};

static struct slice text_of(const struct judged *j, int field)
{
    const struct http_span span = j->head->fields[field].value;
    return (struct slice){ j->base + span.at, span.bytes };
}

/* ---- entity tags ---- */

static int tag_is_weak(struct slice tag)
{
    return tag.bytes > 2 && tag.at[0] == 'W' && tag.at[1] == '/';
}

/* RFC 9110 §8.8.3.2; our own are strong. */
static int tag_matches(struct slice tag, const struct file_version *own, int strong)
{
    if (strong && tag_is_weak(tag))
        return 0;
    uint32_t skip = tag_is_weak(tag) ? 2 : 0;
    return tag.bytes - skip == own->etag_bytes && memcmp(tag.at + skip, own->etag, own->etag_bytes) == 0;
}

/* The next entity-tag of a list, from *at; 0: no more, or what follows is none. A comma may stand inside the quotes. */
static int tag_next(struct slice list, uint32_t *at, struct slice *ret)
{
    uint32_t from = *at;
    while (from < list.bytes && (list.at[from] == ' ' || list.at[from] == '\t' || list.at[from] == ','))
        from++;
    uint32_t quote = from;
    if (list.bytes - from >= 2 && list.at[from] == 'W' && list.at[from + 1] == '/')
        quote += 2;
    if (quote >= list.bytes || list.at[quote] != '"')
        return 0;
    const char *end = memchr(list.at + quote + 1, '"', list.bytes - quote - 1);
    if (!end)
        return 0;
    *at = (uint32_t)(end - list.at) + 1;
    *ret = (struct slice){ list.at + from, *at - from };
    return 1;
}

static int list_has_tag(struct slice list, const struct file_version *own, int strong)
{
    struct slice tag;
    uint32_t at = 0;
    if (list.bytes == 1 && list.at[0] == '*')
        return 1;
    while (tag_next(list, &at, &tag))
        if (tag_matches(tag, own, strong))
            return 1;
    return 0;
}

/* All lines of the field count as one list (RFC 9110 §5.3). -1: the request has none. */
static int field_has_tag(const struct judged *j, enum http_field id, int strong)
{
    int found = -1;
    for (int i = http_head_find(j->head, id, 0); i >= 0 && found != 1; i = http_head_find(j->head, id, i + 1))
        found = list_has_tag(text_of(j, i), j->version, strong);
    return found;
}

/* ---- dates ---- */

/* -1: not there, more than once, or not a date; then the condition does not count (RFC 9110 §13.1.3). */
static int64_t field_date(const struct judged *j, enum http_field id)
{
    int at = http_head_find(j->head, id, 0);
    if (at < 0 || http_head_find(j->head, id, at + 1) >= 0)
        return -1;
    struct slice text = text_of(j, at);
    return http_date_parse(text.at, text.bytes);
}

/* ---- preconditions: RFC 9110 §13.2.2, in that order ---- */

/* 0: go on; 304 or 412. */
static uint16_t precondition(const struct judged *j)
{
    int64_t modified = j->version->modified_s;
    int matches = field_has_tag(j, FIELD_IF_MATCH, 1);
    int64_t date = matches < 0 ? field_date(j, FIELD_IF_UNMODIFIED_SINCE) : -1;
    if (matches == 0 || (date >= 0 && modified >= 0 && modified > date))
        return 412;
    int known = field_has_tag(j, FIELD_IF_NONE_MATCH, 0);
    date = known < 0 ? field_date(j, FIELD_IF_MODIFIED_SINCE) : -1;
    return known == 1 || (date >= 0 && modified >= 0 && modified <= date) ? 304 : 0;
}

/* May the range be sent of what is here now? RFC 9110 §13.1.5: only a strong validator says so. */
static int range_is_current(const struct judged *j)
{
    int at = http_head_find(j->head, FIELD_IF_RANGE, 0);
    if (at < 0)
        return 1;
    struct slice text = text_of(j, at);
    if (http_head_find(j->head, FIELD_IF_RANGE, at + 1) >= 0 || text.bytes == 0)
        return 0;
    if (text.at[0] == '"' || tag_is_weak(text))
        return tag_matches(text, j->version, 1);
    int64_t date = http_date_parse(text.at, text.bytes);
    return date >= 0 && date == j->version->modified_s && j->now - (double)date >= 1;
}

/* ---- ranges ---- */

/* Decimal digits from *at; a number too large for 64 bits is the largest. 0: there is no digit. */
static int number_next(struct slice text, uint32_t *at, uint64_t *ret)
{
    uint32_t from = *at;
    uint64_t value = 0;
    for (; *at < text.bytes && text.at[*at] >= '0' && text.at[*at] <= '9'; ++*at) {
        uint64_t digit = (uint64_t)(text.at[*at] - '0');
        value = value > (UINT64_MAX - digit) / 10 ? UINT64_MAX : value * 10 + digit;
    }
    if (*at > from)
        *ret = value;
    return *at > from;
}

enum range_word { RANGE_WRONG, RANGE_OUTSIDE, RANGE_INSIDE };

/* "-count": the last bytes. */
static enum range_word suffix_parse(struct slice text, uint32_t *at, uint64_t size, struct file_range *ret)
{
    uint64_t count;
    ++*at;
    if (!number_next(text, at, &count))
        return RANGE_WRONG;
    if (count == 0)
        return RANGE_OUTSIDE;
    if (size == 0)
        return RANGE_WRONG; /* the whole of nothing */
    *ret = (struct file_range){ count < size ? size - count : 0, size - 1 };
    return RANGE_INSIDE;
}

/* "first-last", "first-" or "-count". */
static enum range_word range_parse(struct slice text, uint32_t *at, uint64_t size, struct file_range *ret)
{
    uint64_t first, last = UINT64_MAX;
    if (*at < text.bytes && text.at[*at] == '-')
        return suffix_parse(text, at, size, ret);
    if (!number_next(text, at, &first) || *at >= text.bytes || text.at[*at] != '-')
        return RANGE_WRONG;
    ++*at;
    if (number_next(text, at, &last) && last < first)
        return RANGE_WRONG;
    if (first >= size)
        return RANGE_OUTSIDE;
    *ret = (struct file_range){ first, last < size ? last : size - 1 };
    return RANGE_INSIDE;
}

static void skip_blanks(struct slice text, uint32_t *at)
{
    while (*at < text.bytes && (text.at[*at] == ' ' || text.at[*at] == '\t'))
        ++*at;
}

/* 206 with ranges, 416, or 200 when the field does not count. */
static uint16_t ranges_parse(struct slice text, uint64_t size, struct file_verdict *verdict)
{
    uint32_t at = 6, words = 0;
    if (text.bytes < 8 || strncasecmp(text.at, "bytes=", 6) != 0)
        return 200;
    for (int more = 1; more;) {
        struct file_range range;
        skip_blanks(text, &at);
        if (at < text.bytes && text.at[at] == ',') { /* an empty element (RFC 9110 §5.6.1) */
            at++;
            continue;
        }
        if (at == text.bytes && words > 0)
            break;
        enum range_word word = words++ < FILE_RANGES_MAX ? range_parse(text, &at, size, &range) : RANGE_WRONG;
        skip_blanks(text, &at);
        if (word == RANGE_WRONG || (at < text.bytes && text.at[at] != ','))
            return 200;
        if (word == RANGE_INSIDE)
            verdict->ranges[verdict->range_count++] = range;
        more = at++ < text.bytes;
    }
    return verdict->range_count ? 206 : 416;
}

static int ranges_are_near(const struct file_range *a, const struct file_range *b)
{
    return a->first <= b->last + GAP_BYTES && b->first <= a->last + GAP_BYTES;
}

/* Each that touches another takes it in, until none does; the order asked for stays. */
static void ranges_join(struct file_verdict *verdict)
{
    struct file_range *ranges = verdict->ranges;
    for (uint16_t a = 0; a < verdict->range_count; a++)
        for (uint16_t b = (uint16_t)(a + 1); b < verdict->range_count; b++) {
            if (!ranges_are_near(&ranges[a], &ranges[b]))
                continue;
            ranges[a].first = ranges[b].first < ranges[a].first ? ranges[b].first : ranges[a].first;
            ranges[a].last = ranges[b].last > ranges[a].last ? ranges[b].last : ranges[a].last;
            verdict->range_count--;
            memmove(&ranges[b], &ranges[b + 1], (verdict->range_count - b) * sizeof *ranges);
            b = a; /* it is larger now: look again */
        }
}

static uint16_t ranges_of(const struct judged *j, struct file_verdict *verdict)
{
    int at = http_head_find(j->head, FIELD_RANGE, 0);
    if (j->head->method != METHOD_GET || at < 0 || http_head_find(j->head, FIELD_RANGE, at + 1) >= 0 || !range_is_current(j))
        return 200;
    uint16_t status = ranges_parse(text_of(j, at), j->version->size, verdict);
    if (status != 206) {
        verdict->range_count = 0;
        return status;
    }
    for (uint16_t before = 0; before != verdict->range_count;) {
        before = verdict->range_count;
        ranges_join(verdict);
    }
    return 206;
}

void file_judge(const struct file_version *version, const struct http_head *head, const char *base, double now, struct file_verdict *ret_verdict)
{
    const uint64_t conditions = (uint64_t)1 << FIELD_IF_MATCH | (uint64_t)1 << FIELD_IF_NONE_MATCH | (uint64_t)1 << FIELD_IF_MODIFIED_SINCE |
                                (uint64_t)1 << FIELD_IF_UNMODIFIED_SINCE;
    uint64_t seen = 0;
    for (uint32_t i = 0; i < head->field_count; i++)
        seen |= (uint64_t)1 << head->fields[i].id;
    const struct judged j = { version, head, base, now };
    ret_verdict->range_count = 0;
    ret_verdict->status = seen & conditions ? precondition(&j) : 0;
    if (ret_verdict->status == 0)
        ret_verdict->status = seen & (uint64_t)1 << FIELD_RANGE ? ranges_of(&j, ret_verdict) : 200;
}

/* ---- codings ---- */

enum { LIKED_UNSAID = -1 };

/* A weight in thousandths (RFC 9110 §12.4.2); -1: malformed. */
static int weight_parse(struct slice text)
{
    if (text.bytes == 0 || text.bytes > 5 || (text.at[0] != '0' && text.at[0] != '1') || (text.bytes > 1 && text.at[1] != '.'))
        return -1;
    int value = (text.at[0] - '0') * 1000, unit = 100;
    for (uint32_t i = 2; i < text.bytes; i++, unit /= 10) {
        if (text.at[i] < '0' || text.at[i] > '9')
            return -1;
        value += (text.at[i] - '0') * unit;
    }
    return value <= 1000 ? value : -1;
}

static struct slice trimmed(const char *at, const char *end)
{
    while (at < end && (*at == ' ' || *at == '\t'))
        at++;
    while (at < end && (end[-1] == ' ' || end[-1] == '\t'))
        end--;
    return (struct slice){ at, (uint32_t)(end - at) };
}

struct weights {
    int coding[FILE_CODINGS], identity, any;
};

static int word_is(struct slice word, const char *text)
{
    return word.bytes == strlen(text) && strncasecmp(word.at, text, word.bytes) == 0;
}

static void member_weigh(struct slice member, struct weights *weights)
{
    const char *end = member.at + member.bytes, *semicolon = memchr(member.at, ';', member.bytes);
    struct slice name = trimmed(member.at, semicolon ? semicolon : end);
    int weight = 1000;
    if (semicolon) {
        struct slice parameter = trimmed(semicolon + 1, end);
        if (parameter.bytes < 3 || (parameter.at[0] | 0x20) != 'q' || parameter.at[1] != '=')
            return;
        weight = weight_parse((struct slice){ parameter.at + 2, parameter.bytes - 2 });
        if (weight < 0)
            return;
    }
    int *slot = word_is(name, "gzip") || word_is(name, "x-gzip") ? &weights->coding[FILE_GZIP]
                : word_is(name, "br")                            ? &weights->coding[FILE_BROTLI]
                : word_is(name, "zstd")                          ? &weights->coding[FILE_ZSTD]
                : word_is(name, "identity")                      ? &weights->identity
                : word_is(name, "*")                             ? &weights->any
                                                                 : NULL;
    if (slot && *slot == LIKED_UNSAID)
        *slot = weight;
}

uint32_t file_codings_liked(const struct http_head *head, const char *base, struct file_liking ret_liked[FILE_CODINGS])
{
    struct weights weights = { { LIKED_UNSAID, LIKED_UNSAID, LIKED_UNSAID }, LIKED_UNSAID, LIKED_UNSAID };
    uint32_t count = 0;
    for (int i = http_head_find(head, FIELD_ACCEPT_ENCODING, 0); i >= 0; i = http_head_find(head, FIELD_ACCEPT_ENCODING, i + 1)) {
        const struct http_span value = head->fields[i].value;
        for (const char *at = base + value.at, *end = at + value.bytes; at < end;) {
            const char *comma = memchr(at, ',', (size_t)(end - at));
            const char *stop = comma ? comma : end;
            member_weigh((struct slice){ at, (uint32_t)(stop - at) }, &weights);
            at = stop + 1;
        }
    }
    for (int c = 0; c < FILE_CODINGS; c++) {
        int weight = weights.coding[c] != LIKED_UNSAID ? weights.coding[c] : weights.any;
        if (weight <= 0 || weight < weights.identity)
            continue;
        uint32_t place = count++;
        for (; place > 0 && ret_liked[place - 1].weight < weight; place--)
            ret_liked[place] = ret_liked[place - 1];
        ret_liked[place] = (struct file_liking){ (uint8_t)c, (uint16_t)weight };
    }
    return count;
}
