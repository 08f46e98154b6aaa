/* Validators, preconditions in their order, one range. */
#include "file/serve.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/must.h"
#include "http/head.h"

/* What a request is judged by. */
struct judged {
    const struct file_entry *entry;
    const struct http_head *head;
    const char *base;
    int64_t modified; /* as sent in Last-Modified; -1: none */
    double now;
    struct file_answer *answer;
};

static struct slice text_of(const struct judged *j, int field)
{
    const struct http_span span = j->head->fields[field].value;
    return (struct slice){ j->base + span.at, span.bytes };
}

/* ---- fields to send ---- */

static void field_add(struct file_answer *answer, enum http_field id, const char *name, const char *value, uint32_t bytes)
{
    must(answer->field_count < FILE_FIELDS_MAX);
    struct http_out_field *field = &answer->field_store[answer->field_count++];
    *field = (struct http_out_field){ .name = { name, (uint32_t)strlen(name) }, .value = { value, bytes }, .id = (uint16_t)id };
    if (field != answer->field_store)
        field[-1].next = field;
    answer->fields = answer->field_store;
}

/* Weak while the file is so young that another write could leave the same time on it. */
static void etag_make(struct judged *j)
{
    const struct file_entry *e = j->entry;
    int young = j->now - ((double)e->mtime_s + (double)e->mtime_ns / 1e9) < 1;
    int bytes = snprintf(j->answer->etag, FILE_ETAG_BYTES, "%s\"%llx-%llx%08x-%llx\"", young ? "W/" : "", (unsigned long long)e->size,
                         (unsigned long long)e->mtime_s, e->mtime_ns, (unsigned long long)e->inode);
    must(bytes > 0 && bytes < FILE_ETAG_BYTES);
    j->answer->etag_bytes = (uint32_t)bytes;
}

static void validators(struct judged *j)
{
    etag_make(j);
    field_add(j->answer, FIELD_ETAG, "ETag", j->answer->etag, j->answer->etag_bytes);
    if (j->modified >= 0) {
        http_date_format(j->answer->modified, j->modified);
        field_add(j->answer, FIELD_LAST_MODIFIED, "Last-Modified", j->answer->modified, 29);
    }
}

/* ---- entity tags ---- */

static int tag_is_weak(struct slice tag)
{
    return tag.bytes > 2 && tag.at[0] == 'W' && tag.at[1] == '/';
}

/* RFC 9110 §8.8.3.2 */
static int tag_matches(struct slice tag, struct slice own, int strong)
{
    if (strong && (tag_is_weak(tag) || tag_is_weak(own)))
        return 0;
    uint32_t skip = tag_is_weak(tag) ? 2 : 0, own_skip = tag_is_weak(own) ? 2 : 0;
    return tag.bytes - skip == own.bytes - own_skip && memcmp(tag.at + skip, own.at + own_skip, tag.bytes - skip) == 0;
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

static int list_has_tag(struct slice list, struct slice own, int strong)
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
    const struct slice own = { j->answer->etag, j->answer->etag_bytes };
    int found = -1;
    for (int i = http_head_find(j->head, id, 0); i >= 0 && found != 1; i = http_head_find(j->head, id, i + 1))
        found = list_has_tag(text_of(j, i), own, strong);
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
static int precondition(const struct judged *j)
{
    int matches = field_has_tag(j, FIELD_IF_MATCH, 1);
    int64_t date = matches < 0 ? field_date(j, FIELD_IF_UNMODIFIED_SINCE) : -1;
    if (matches == 0 || (date >= 0 && j->modified >= 0 && j->modified > date))
        return 412;
    int known = field_has_tag(j, FIELD_IF_NONE_MATCH, 0);
    date = known < 0 ? field_date(j, FIELD_IF_MODIFIED_SINCE) : -1;
    return known == 1 || (date >= 0 && j->modified >= 0 && j->modified <= date) ? 304 : 0;
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
        return tag_matches(text, (struct slice){ j->answer->etag, j->answer->etag_bytes }, 1);
    int64_t date = http_date_parse(text.at, text.bytes);
    return date >= 0 && date == j->modified && j->now - (double)j->modified >= 1;
}

/* ---- one range ---- */

enum range_verdict { RANGE_IGNORE, RANGE_PART, RANGE_OUTSIDE };

/* Decimal digits from *at; a number too large for 64 bits is the largest. 0: there is no digit. */
static int number_next(struct slice text, uint32_t *at, uint64_t *ret)
{
    uint32_t from = *at;
    uint64_t value = 0;
    for (; *at < text.bytes && text.at[*at] >= '0' && text.at[*at] <= '9'; ++*at) {
        uint64_t digit = (uint64_t)(text.at[*at] - '0');
        value = value > (UINT64_MAX - digit) / 10 ? UINT64_MAX : value * 10 + digit;
    }
    *ret = value;
    return *at > from;
}

static enum range_verdict suffix_parse(struct slice text, uint32_t at, uint64_t size, uint64_t *ret_first, uint64_t *ret_last)
{
    uint64_t count;
    if (!number_next(text, &at, &count) || at != text.bytes)
        return RANGE_IGNORE;
    if (count == 0)
        return RANGE_OUTSIDE;
    if (size == 0)
        return RANGE_IGNORE; /* the whole of nothing */
    *ret_first = count < size ? size - count : 0;
    *ret_last = size - 1;
    return RANGE_PART;
}

/* "bytes=first-last", "bytes=first-" or "bytes=-count". Several ranges, other units and what is malformed are ignored, as RFC 9110 §14.2 allows. */
static enum range_verdict range_parse(struct slice text, uint64_t size, uint64_t *ret_first, uint64_t *ret_last)
{
    uint32_t at = 6;
    uint64_t first, last = UINT64_MAX;
    if (text.bytes < 8 || strncasecmp(text.at, "bytes=", 6) != 0)
        return RANGE_IGNORE;
    if (text.at[at] == '-')
        return suffix_parse(text, at + 1, size, ret_first, ret_last);
    if (!number_next(text, &at, &first) || at >= text.bytes || text.at[at++] != '-')
        return RANGE_IGNORE;
    if (at < text.bytes && (!number_next(text, &at, &last) || at != text.bytes || last < first))
        return RANGE_IGNORE;
    if (first >= size)
        return RANGE_OUTSIDE;
    *ret_first = first;
    *ret_last = last < size ? last : size - 1;
    return RANGE_PART;
}

static enum range_verdict range_of(const struct judged *j, uint64_t *ret_first, uint64_t *ret_last)
{
    int at = http_head_find(j->head, FIELD_RANGE, 0);
    if (j->head->method != METHOD_GET || at < 0 || http_head_find(j->head, FIELD_RANGE, at + 1) >= 0 || !range_is_current(j))
        return RANGE_IGNORE;
    return range_parse(text_of(j, at), j->entry->size, ret_first, ret_last);
}

/* ---- the answer ---- */

static void content_whole(struct judged *j)
{
    j->answer->status = 200;
    j->answer->length = j->entry->size;
    j->answer->type = j->entry->type;
    field_add(j->answer, FIELD_OTHER, "Accept-Ranges", "bytes", 5);
}

static void content_part(struct judged *j, uint64_t first, uint64_t last)
{
    struct file_answer *answer = j->answer;
    answer->status = 206;
    answer->offset = first;
    answer->length = last - first + 1;
    answer->type = j->entry->type;
    int bytes = snprintf(answer->range, sizeof answer->range, "bytes %llu-%llu/%llu", (unsigned long long)first, (unsigned long long)last,
                         (unsigned long long)j->entry->size);
    field_add(answer, FIELD_OTHER, "Accept-Ranges", "bytes", 5);
    field_add(answer, FIELD_CONTENT_RANGE, "Content-Range", answer->range, (uint32_t)bytes);
}

static void content_outside(struct judged *j)
{
    struct file_answer *answer = j->answer;
    answer->status = 416;
    int bytes = snprintf(answer->range, sizeof answer->range, "bytes */%llu", (unsigned long long)j->entry->size);
    field_add(answer, FIELD_CONTENT_RANGE, "Content-Range", answer->range, (uint32_t)bytes);
}

static void content_choose(struct judged *j)
{
    uint64_t first, last;
    switch (range_of(j, &first, &last)) {
    case RANGE_IGNORE:
        content_whole(j);
        break;
    case RANGE_PART:
        content_part(j, first, last);
        break;
    case RANGE_OUTSIDE:
        content_outside(j);
        break;
    }
}

/* Not later than now (RFC 9110 §8.8.2.1); none before 1970. */
static int64_t modified_of(const struct file_entry *entry, double now)
{
    return entry->mtime_s < 0 ? -1 : entry->mtime_s > (int64_t)now ? (int64_t)now : entry->mtime_s;
}

void file_decide(const struct file_entry *entry, const struct http_head *head, const char *base, double now, struct file_answer *ret_answer)
{
    memset(ret_answer, 0, sizeof *ret_answer);
    struct judged j = { entry, head, base, modified_of(entry, now), now, ret_answer };
    if (head->method != METHOD_GET && head->method != METHOD_HEAD) {
        ret_answer->status = 405;
        field_add(ret_answer, FIELD_ALLOW, "Allow", "GET, HEAD", 9);
        return;
    }
    validators(&j);
    int status = precondition(&j);
    if (status)
        ret_answer->status = (uint16_t)status;
    else
        content_choose(&j);
}
