/* The way of short requests, where bitmaps are made 16 bytes at a time or 8: a plain GET with few fields, whole and at
 * the end of what was received, is read byte by byte with a table, without the readiness of the walk for all else. With
 * AVX2 the walk takes more instructions for such a request, but less time (bench/results/head.txt). In: less than
 * HEAD_SHORT bytes. Out: what the walk would put out; or the walk itself, which begins anew with whatever is not plain
 * here. Nothing is refused in this file. */
#include "http/head_parts.inl.h"

/* The end of the bytes from `at` that are of `kind`; there is one, as a CR is of none. */
__attribute__((always_inline)) static inline const char *run_end(const char *at, uint8_t kind)
{
    while (head_bytes[(uint8_t)*at] & kind)
        at++;
    return at;
}

/* The end of a path that needs no normalising. */
static inline const char *path_end(const char *at)
{
    while (*at == '/') {
        if ((at[1] | 1) == '/') /* "//", or a segment that begins with '.' */
            return at;
        at = run_end(at + 1, BYTE_SEGMENT);
    }
    return at;
}

/* The end of a host, and of its port of up to four digits; an end that no CRLF follows where it is another. */
static inline const char *host_end(const char *at)
{
    const char *end = run_end(at, BYTE_HOST), *port = end + 1;
    if (*end != ':' || end == at)
        return end;
    for (end = port; *end >= '0' && *end <= '9'; end++)
        ;
    return end - port <= 4 && end > port ? end : at;
}

/* One field line, known and plain. Returns its end, NULL when it is not. */
static inline const char *line_plain(const char *text, const char *at, struct http_head *head, struct http_field_line *line)
{
    const char *name_end = run_end(at, BYTE_TOKEN), *value = name_end + 2;
    uint32_t name_bytes = (uint32_t)(name_end - at);
    const struct head_name *known = head_name_at(at, name_bytes);
    uint32_t id = known->id, connection = id - FIELD_CONTENT_LENGTH <= FIELD_UPGRADE - FIELD_CONTENT_LENGTH;
    if (connection || !is_pair(name_end, ':', ' ') || !head_name_fits(known, at, 0))
        return NULL;
    const char *end = id == FIELD_HOST ? host_end(value) : run_end(value, BYTE_VALUE);
    if (!is_pair(end, '\r', '\n') || *value <= ' ' || end[-1] == ' ')
        return NULL;
    span_set(&line->name, (uint64_t)(at - text), name_bytes);
    span_set(&line->value, (uint64_t)(value - text), (uint64_t)(end - value));
    line->id = (uint16_t)id;
    if (id == FIELD_HOST) {
        if (head->authority.bytes)
            return NULL;
        head->authority = line->value;
    }
    return end + 2;
}

/* The bytes of the head, 0 when it is not plain. `count` bytes are here and end in CRLF, where all searches stop. */
static inline uint32_t head_plain(const char *text, uint32_t count, struct http_head *head)
{
    const char *path = text + 4, *path_stop = path_end(path), *at = path_stop + 11;
    if ((uint32_t)head_word(text) != 0x20544547u || path_stop == path || *path_stop != ' ' ||
        head_word(path_stop + 1) != 0x312E312F50545448u || !is_pair(at - 2, '\r', '\n'))
        return 0;
    head_begin(head);
    head->method_text.bytes = 3;
    head->target.at = 4;
    head->target.bytes = (uint16_t)(path_stop - path);
    head->path = head->target;
    struct http_field_line *line = head->fields;
    for (; !is_pair(at, '\r', '\n'); line++) {
        at = at < text + count ? line_plain(text, at, head, line) : NULL;
        if (!at)
            return 0;
    }
    if (!head->authority.bytes)
        return 0;
    head->field_count = (uint8_t)(line - head->fields);
    head->flags = HEAD_PATH_PLAIN | HEAD_KEEP_ALIVE;
    return head->bytes = (uint16_t)(at + 2 - text);
}

int head_request_short(struct http_scan *scan, uint32_t at, const struct http_head_limits *limits,
                       struct http_head_progress *progress, struct http_head *head, const char **ret_reason)
{
    const char *text = scan->base + at;
    uint32_t count = scan->bytes - at;
    /* No limit that is as large is met by so few bytes. */
    if (count < HEAD_SHORT && count > 18 && is_pair(text + count - 2, '\r', '\n') && limits->line_bytes >= HEAD_SHORT &&
        limits->head_bytes >= HEAD_SHORT && limits->field_count >= HEAD_SHORT / 4 &&
        !(progress->line_at | progress->scanned | progress->started)) {
        uint32_t bytes = head_plain(text, count, head);
        if (bytes > 0 && bytes <= count)
            return (int)bytes;
    }
    return head_request_long(scan, at, limits, progress, head, ret_reason);
}
