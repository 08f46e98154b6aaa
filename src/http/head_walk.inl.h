/* The walk over the lines of a head. Included once per instruction set by a file that defines first
 *
 *   HEAD_CODE           the attribute of every function here (the instruction set)
 *   HEAD_WALK           the name of the walk
 *   line_end(at, stop)            first control from `at`; `stop` or a place beyond it: none
 *   token_run(text)               token characters that `text` begins with; may be less than all, if more than 31
 *   host_run(text)                letters, digits, '.' and '-' that `text` begins with; likewise
 *   path_end(text)                the first byte that makes a path less than plain: no visible ASCII, '#', '?', '%',
 *                                 or '/' followed by '/' or '.'; there is one
 *   query_end(text)               the first byte that is no visible ASCII, or '#'; there is one
 *   name_number(name, bytes)      enum http_field of `bytes` token characters
 *   low_bytes(word, count)        `word` with all but its `count` low bytes zero; all of it when count >= 8
 *
 * A line's end is sought before its name, because a name holds no control: so the way from line to line depends on
 * one search only, and names, lookups and stores overlap with it. What is unusual goes out of line, to odd_….
 * Nothing here reads more than 64 bytes past walk->count. */
#include "http/head_parts.inl.h"

#define UNLIKELY(x) __builtin_expect(!!(x), 0)
#define HEAD_COLD __attribute__((noinline, cold))

static inline int is_pair(const char *at, char first, char second)
{
    uint16_t pair;
    memcpy(&pair, at, sizeof pair);
    return pair == (uint16_t)((uint8_t)first | (uint8_t)second << 8);
}

static inline int is_blank(char byte)
{
    return byte == ' ' || byte == '\t';
}

/* Remembers where an incomplete line stands, of which all before `known` is known not to end it. */
static int walk_wait(struct head_walk *walk, uint32_t at, uint32_t known)
{
    if (walk->full)
        return head_refuse(walk, 431, "the head is longer than the limit");
    walk->progress->line_at = (uint16_t)at;
    walk->progress->scanned = (uint16_t)(known - at);
    return 0;
}

/* The line at `at` has no CRLF at `end`, the first control. Returns where it has it after all (tabs are controls to
 * line_end(), but may stand in field values and reason phrases), or what the parse has to return. */
HEAD_COLD HEAD_CODE static int odd_end(struct head_walk *walk, uint32_t at, const char *end)
{
    const char *text = walk->text, *stop = text + walk->count;
    int first = !walk->progress->started;
    if (!first || walk->response) {
        while (end < stop && *end == '\t')
            end = line_end(end + 1, stop);
    }
    uint32_t known = (uint32_t)((end < stop ? end : stop) - text);
    if (first && known - at > walk->limits->line_bytes)
        return head_refuse(walk, 414, "the request line is longer than the limit");
    if (end >= stop || (end + 1 == stop && *end == '\r'))
        return walk_wait(walk, at, known);
    if (!is_pair(end, '\r', '\n'))
        return head_refuse_control(walk, known);
    return (int)known;
}

/* Takes apart a field line that is not plainly `name: value`. */
HEAD_COLD static int odd_field(struct head_walk *walk, struct http_field_line *line, uint32_t end)
{
    const char *text = walk->text;
    uint32_t at = line->name.at, from = at;
    while (head_bytes[(uint8_t)text[from]] & BYTE_TOKEN)
        from++;
    line->name.bytes = (uint16_t)(from - at);
    if (from == at || text[from] != ':')
        return head_refuse_name(walk, at, from - at);
    from++;
    while (from < end && is_blank(text[from]))
        from++;
    while (end > from && is_blank(text[end - 1]))
        end--;
    span_set(&line->value, from, end - from);
    return 0;
}

/* A Host that needs no closer look: a plain name or IPv4 address, and a port of up to four digits. */
HEAD_CODE static inline int host_is_plain(const char *text, uint32_t bytes)
{
    uint32_t run = host_run(text);
    if (run == bytes)
        return bytes > 0;
    if (run == 0 || text[run] != ':' || bytes - run - 2 > 3)
        return 0;
    /* A digit has '3' in its upper nibble, also after adding 6. */
    const uint64_t sixes = 0x0606060606060606u;
    uint64_t port = low_bytes(head_word(text + run + 1) ^ sixes * 8, bytes - run - 1);
    return ((port | (port + sixes)) & 0xF0F0F0F0u) == 0;
}

HEAD_CODE static inline int walk_framing(struct head_walk *walk, const struct http_field_line *line,
                                         const char *value)
{
    if (line->id != FIELD_HOST || walk->response || (walk->progress->seen & SEEN_HOST) ||
        !host_is_plain(value, line->value.bytes))
        return head_rule_field(walk, line);
    rule_host(walk, line);
    return 0;
}

/* Field lines from `at` to the empty line; the first `scanned` bytes are known not to end their line. */
HEAD_CODE static inline int walk_fields(struct head_walk *walk, const char *at, uint32_t scanned)
{
    const char *const text = walk->text, *const stop = text + walk->count, *from = at + scanned;
    struct http_head *const head = walk->head;
    const uint32_t asked = walk->limits->field_count;
    const uint32_t most = asked < HTTP_FIELDS_MAX ? asked : HTTP_FIELDS_MAX;
    struct http_field_line *line = head->fields + head->field_count;
    for (;;) {
        if (is_pair(at, '\r', '\n') && at + 2 <= stop)
            break;
        const char *end = line_end(from, stop);
        if (UNLIKELY(end + 1 >= stop || !is_pair(end, '\r', '\n'))) {
            head->field_count = (uint8_t)(line - head->fields);
            int found = odd_end(walk, (uint32_t)(at - text), end);
            if (found <= 0)
                return found;
            end = text + found;
        }
        uint32_t name_bytes = token_run(at);
        const char *value = at + name_bytes + 2;
        if (UNLIKELY(line == head->fields + most))
            return head_refuse(walk, 431, "more field lines than the limit");
        span_set(&line->name, (uint64_t)(at - text), name_bytes);
        span_set(&line->value, (uint64_t)(value - text), (uint64_t)(end - value));
        /* Plain: a name, ": ", and a value that neither begins nor ends with white space. */
        if (UNLIKELY(!is_pair(value - 2, ':', ' ') || (uint8_t)value[0] <= ' ' ||
                     (uint8_t)end[-1] <= ' ' || name_bytes == 0)) {
            int status = odd_field(walk, line, (uint32_t)(end - text));
            if (status < 0)
                return status;
            name_bytes = line->name.bytes;
        }
        uint32_t id = name_number(at, name_bytes);
        line->id = (uint16_t)id;
        at = from = end + 2;
        if (id - 1 < FIELD_UPGRADE) {
            int status = walk_framing(walk, line, text + line->value.at);
            if (UNLIKELY(status < 0))
                return status;
        }
        line++;
    }
    head->field_count = (uint8_t)(line - head->fields);
    return rule_end(walk, (uint32_t)(at - text) + 2);
}

/* The target [at, end), which a space follows: a plain path and a query are told here, all else out of line. */
HEAD_CODE static inline int walk_target(struct head_walk *walk, const char *at, const char *end)
{
    struct http_head *head = walk->head;
    const char *path = path_end(at);
    uint32_t flags = HEAD_PATH_PLAIN;
    if (UNLIKELY(*at != '/' || head->method == METHOD_CONNECT))
        return head_rule_target(walk);
    if (path != end) {
        if (*path != '?' || query_end(path) != end)
            return head_rule_target(walk);
        span_set(&head->query, (uint64_t)(path + 1 - walk->text), (uint64_t)(end - path - 1));
        flags |= HEAD_HAS_QUERY;
    }
    span_set(&head->path, (uint64_t)(at - walk->text), (uint64_t)(path - at));
    head->target_form = TARGET_ORIGIN;
    head->flags = (uint16_t)flags;
    return 0;
}

/* RFC 9112 §3. The line is [at, end). */
HEAD_CODE static inline int walk_request_line(struct head_walk *walk, const char *at, const char *end)
{
    const char *text = walk->text;
    struct http_head *head = walk->head;
    uint64_t version = end - at >= 9 ? head_word(end - 8) : 0;
    if (UNLIKELY((version & ~((uint64_t)1 << 56)) != 0x302E312F50545448u || end[-9] != ' '))
        return head_refuse_version(walk, (uint32_t)(at - text), (uint32_t)(end - text));
    head->minor = (uint8_t)(version >> 56 & 1);
    uint32_t method_bytes = 3;
    head->method = METHOD_GET;
    span_set(&head->method_text, (uint64_t)(at - text), 3);
    if ((uint32_t)head_word(at) != 0x20544547u) {
        int status = head_rule_method(walk, (uint32_t)(at - text));
        if (status < 0)
            return status;
        method_bytes = head->method_text.bytes;
    }
    const char *target = at + method_bytes + 1;
    if (UNLIKELY(target >= end - 9))
        return head_refuse(walk, 400, "the request line has no target");
    span_set(&head->target, (uint64_t)(target - text), (uint64_t)(end - 9 - target));
    return walk_target(walk, target, end - 9);
}

static inline void walk_begin(struct http_head *head)
{
    head->bytes = 0;
    head->flags = 0;
    head->field_count = 0;
    head->status = 0;
    head->query.at = head->query.bytes = head->authority.at = head->authority.bytes = 0;
    head->content_length = -1;
}

/* Parses the first line. Returns where the next begins, or what the parse has to return (0 or less). */
HEAD_CODE static inline int walk_first_line(struct head_walk *walk)
{
    const char *text = walk->text, *stop = text + walk->count;
    const char *at = text + walk->progress->line_at;
    /* RFC 9112 §2.2: one empty line before the request line is forgiven. */
    if (UNLIKELY(*at == '\r' && at == text && !walk->response && walk->count > 1 && text[1] == '\n'))
        at += 2;
    const char *end = line_end(at + walk->progress->scanned, stop);
    if (UNLIKELY(end + 1 >= stop || end - at > walk->limits->line_bytes || !is_pair(end, '\r', '\n'))) {
        int found = odd_end(walk, (uint32_t)(at - text), end);
        if (found <= 0)
            return found;
        end = text + found;
    }
    walk_begin(walk->head);
    int status = UNLIKELY(walk->response) ? head_rule_status_line(walk, (uint32_t)(end - text))
                                          : walk_request_line(walk, at, end);
    if (UNLIKELY(status < 0))
        return status;
    walk->progress->started = 1;
    return (int)(end - text) + 2;
}

HEAD_CODE int HEAD_WALK(struct head_walk *walk)
{
    uint32_t at = walk->progress->line_at, scanned = walk->progress->scanned;
    if (!walk->progress->started) {
        int next = walk_first_line(walk);
        if (next <= 0)
            return next;
        at = (uint32_t)next;
        scanned = 0;
    }
    return walk_fields(walk, walk->text + at, scanned);
}
