/* The walk over the lines of a head. Included once per instruction set by a file that defines first
 *
 *   HEAD_CODE                     the attribute of every function here (the instruction set)
 *   HEAD_REQUEST, HEAD_RESPONSE   the names of the two walks
 *   BLOCK_BYTES, BLOCK_STEP       how many bytes one bitmap tells of, and how many of its bits stand for each
 *   block_suspects(at)            the bitmap of what may not stand in a plain line: controls, HTAB, DEL, no ASCII
 *   block_below(mask, bytes)      its bits for the first `bytes` bytes, which are less than a block
 *   name_end(name)                where the first colon is; 32 when none is before that
 *   name_fits(known, name, less)  `name` begins with a known name in any case, its colon and, unless `less` is 1, a space
 *   token_run(text)               token characters that `text` begins with; may be less than all, if more than 31
 *   host_run(text)                letters, digits, '.' and '-' that `text` begins with; likewise
 *   path_end(text)                the first byte that makes a path less than plain: no visible ASCII, '#', '?', '%',
 *                                 or '/' followed by '/' or '.'; there is one
 *   query_end(text)               the first byte that is no visible ASCII, or '#'; there is one
 *   low_bytes(word, count)        `word` with all but its `count` low bytes zero; all of it when count >= 8
 *
 * Lines end where the bitmaps say. A bitmap is made when the walk comes to its block, and serves all lines in it; so
 * the way from line to line is a few operations on a register, and names, lookups and stores overlap with it. A known
 * name is told by its place in a table and one comparison, which finds it to be a token, too. What is unusual goes out
 * of line, to odd_…. Nothing here reads more than 64 bytes past walk->count. */
#include "http/head_parts.inl.h"

#define LIKELY(x) __builtin_expect(!!(x), 1)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)
#define HEAD_COLD __attribute__((noinline, cold))
#define HEAD_INLINE __attribute__((always_inline)) static inline

static inline int is_blank(char byte)
{
    return byte == ' ' || byte == '\t';
}

/* Where the walk is: `mask` tells of the block at `block` what is still ahead. All counts from walk->text. */
struct lines {
    const char *text;
    size_t block, last; /* a CR can only end a line before `last`, the last byte that is here */
    uint64_t mask;
};
/* Begins a block at `at`. */
HEAD_INLINE void lines_seek(struct lines *lines, size_t at)
{
    lines->block = at - BLOCK_BYTES;
    lines->mask = 0;
}

/* Goes on to the next block that has a suspect; 0 when there is none before `last`. Where a block
 * ends between a CR and its LF, that LF is left as a suspect before the line behind it. */
HEAD_CODE HEAD_INLINE int lines_refill(struct lines *lines)
{
    do {
        lines->block += BLOCK_BYTES;
        if (UNLIKELY(lines->block >= lines->last))
            return 0;
        lines->mask = block_suspects(lines->text + lines->block);
    } while (UNLIKELY(lines->mask == 0));
    if (lines->block + BLOCK_BYTES > lines->last)
        lines->mask = block_below(lines->mask, lines->last - lines->block);
    return lines->mask != 0;
}

/* The next suspect; 0 when there is none before lines->last. */
HEAD_CODE HEAD_INLINE int lines_next(struct lines *lines, size_t *ret_end)
{
    *ret_end = SIZE_MAX;
    if (UNLIKELY(lines->mask == 0) && UNLIKELY(!lines_refill(lines)))
        return 0;
    *ret_end = lines->block + (size_t)__builtin_ctzll(lines->mask) / BLOCK_STEP;
    lines->mask &= lines->mask - 1;
    return 1;
}

/* Remembers where an incomplete line stands, of which all before `known` is known not to end it. */
static int walk_wait(struct head_walk *walk, size_t at, size_t known)
{
    if (walk->count == head_most(walk->limits))
        return head_refuse(walk, 431, "the head is longer than the limit");
    walk->progress->line_at = (uint16_t)at;
    walk->progress->scanned = (uint16_t)(known - at);
    return 0;
}

/* What is no ASCII may stand in any line (and is refused where targets and names are judged), HTAB in all but the
 * request line. */
static int is_control(const struct head_walk *walk, char byte)
{
    if (byte == '\t')
        return !walk->progress->started && !walk->response;
    return (uint8_t)byte < ' ' || byte == 0x7F;
}

/* The line at `at`, of which all before `from` is known not to end it, has no CRLF at its first suspect. Returns where
 * it has it after all, or what the parse has to return. */
HEAD_COLD HEAD_CODE static int odd_end(struct head_walk *walk, size_t at, size_t from)
{
    const char *text = walk->text;
    const size_t count = walk->count;
    struct lines lines = { .text = text, .last = count - (count > 0) };
    lines_seek(&lines, from);
    size_t end;
    int found;
    do
        found = lines_next(&lines, &end);
    while (found && !is_control(walk, text[end]));
    if (!found) /* the last byte was not looked at yet */
        end = from < count && is_control(walk, text[count - 1]) ? count - 1 : count;
    if (!walk->progress->started && end - at > walk->limits->line_bytes)
        return head_refuse(walk, 414, "the request line is longer than the limit");
    if (end >= count || (end + 1 == count && text[end] == '\r'))
        return walk_wait(walk, at, end);
    if (!is_pair(text + end, '\r', '\n'))
        return head_refuse_control(walk, (uint32_t)end);
    return (int)end;
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

/* "keep-alive" in any case, of which a value that holds no control is told by bit 5. */
static inline int is_keep_alive(const char *value, uint32_t bytes)
{
    if (bytes != 10 || (head_word(value) | 0x2020202020202020u) != 0x696C612D7065656Bu)
        return 0;
    return (value[8] | 0x20) == 'v' && (value[9] | 0x20) == 'e';
}

/* A field that rules are about: the two that most requests have are told here. */
HEAD_CODE HEAD_INLINE int walk_framing(struct head_walk *walk, const struct http_field_line *line, const char *value,
                                       uint32_t bytes, int response)
{
    uint8_t *seen = &walk->progress->seen;
    if (line->id == FIELD_HOST && !response && !(*seen & SEEN_HOST) &&
        walk->head->target_form == TARGET_ORIGIN && host_is_plain(value, bytes)) {
        *seen |= SEEN_HOST;
        walk->head->authority = line->value;
        return 0;
    }
    if (line->id == FIELD_CONNECTION && is_keep_alive(value, bytes)) {
        *seen |= SEEN_CONNECTION_KEEP_ALIVE;
        return 0;
    }
    return head_rule_field(walk, line);
}

/* Takes apart a field line that is not plainly a known name, ": " and a value without white space around it. */
HEAD_CODE __attribute__((noinline)) static int odd_field(struct head_walk *walk, struct http_field_line *line,
                                                         size_t at, size_t end)
{
    const char *text = walk->text;
    size_t from = at, run;
    do
        from += run = token_run(text + from);
    while (UNLIKELY(run > 31));
    uint32_t name_bytes = (uint32_t)(from - at);
    if (UNLIKELY(name_bytes == 0 || text[from] != ':'))
        return head_refuse_name(walk, (uint32_t)at, name_bytes);
    const struct head_name *known = head_name_at(text + at, name_bytes);
    int fits = known->bytes == name_bytes && name_fits(known, text + at, 1);
    line->id = fits ? (uint16_t)known->id : FIELD_OTHER;
    from++;
    while (from < end && is_blank(text[from]))
        from++;
    while (end > from && is_blank(text[end - 1]))
        end--;
    span_set(&line->name, at, name_bytes);
    span_set(&line->value, from, end - from);
    return line->id - 1u < FIELD_UPGRADE ? head_rule_field(walk, line) : 0;
}

/* Field lines from `at` to the empty line. The first `scanned` bytes are known not to end their line; `count` field
 * lines are known. */
HEAD_CODE HEAD_INLINE int walk_fields(struct head_walk *walk, struct lines lines, size_t at, size_t scanned,
                                      uint32_t count, int response)
{
    const char *const text = lines.text;
    struct http_head *const head = walk->head;
    const uint32_t asked = walk->limits->field_count, most = asked < HTTP_FIELDS_MAX ? asked : HTTP_FIELDS_MAX;
    struct http_field_line *line = head->fields + count;
    for (;; line++, count++) {
        size_t end;
        int plain = lines_next(&lines, &end) && is_pair(text + end, '\r', '\n');
        if (UNLIKELY(!plain) && end < at) /* an LF that belongs to the line before */
            plain = lines_next(&lines, &end) && is_pair(text + end, '\r', '\n');
        if (UNLIKELY(!plain)) {
            head->field_count = (uint8_t)count;
            int found = odd_end(walk, at, at + scanned);
            if (found <= 0)
                return found;
            end = (size_t)found;
            lines_seek(&lines, end + 2);
        }
        lines.mask &= lines.mask - 1; /* its LF */
        uint32_t name_bytes = name_end(text + at);
        const struct head_name *known = head_name_at(text + at, name_bytes);
        size_t value = at + name_bytes + 2;
        if (LIKELY(name_fits(known, text + at, 0) && (uint8_t)text[value] > ' ' &&
                   (uint8_t)text[end - 1] > ' ' && count < most)) {
            uint32_t id = known->id;
            span_set(&line->name, at, name_bytes);
            span_set(&line->value, value, end - value);
            line->id = (uint16_t)id;
            if (id <= FIELD_UPGRADE) {
                int status = walk_framing(walk, line, text + value, (uint32_t)(end - value), response);
                if (UNLIKELY(status < 0))
                    return status;
            }
        } else {
            if (end == at)
                break;
            if (count == most)
                return head_refuse(walk, 431, "more field lines than the limit");
            int status = odd_field(walk, line, at, end);
            if (UNLIKELY(status < 0))
                return status;
        }
        at = end + 2;
        scanned = 0;
    }
    head->field_count = (uint8_t)count;
    return rule_end(walk, (uint32_t)at + 2);
}

/* The target [at, end), which begins with '/' and is followed by a space: a plain path and a query are told here. */
HEAD_CODE HEAD_INLINE int walk_target(struct head_walk *walk, size_t at, size_t end)
{
    const char *text = walk->text;
    struct http_head *head = walk->head;
    size_t path = (size_t)(path_end(text + at) - text);
    if (path != end) {
        if (text[path] != '?' || query_end(text + path) != text + end)
            return head_rule_target(walk);
        span_set(&head->query, path + 1, end - path - 1);
        head->flags = HEAD_HAS_QUERY;
    }
    head->flags |= HEAD_PATH_PLAIN;
    span_set(&head->path, at, path - at);
    return 0;
}

/* A version less that of HTTP/1.0: 0 or 1, or more when it is none that is served. */
static inline uint64_t version_minor(const char *end)
{
    uint64_t version = head_word(end - 8) - 0x302E312F50545448u;
    return version >> 56 | version << 8;
}

/* Any request line but the most frequent. RFC 9112 §3. The line is [at, end). */
HEAD_CODE __attribute__((noinline)) static int odd_request_line(struct head_walk *walk, size_t at, size_t end)
{
    const char *text = walk->text;
    struct http_head *head = walk->head;
    uint64_t minor = end - at >= 9 ? version_minor(text + end) : 2;
    if (minor > 1 || text[end - 9] != ' ')
        return head_refuse_version(walk, (uint32_t)at, (uint32_t)end);
    head->minor = (uint8_t)minor;
    int status = head_rule_method(walk, (uint32_t)at);
    if (status < 0)
        return status;
    size_t target = at + head->method_text.bytes + 1;
    if (target + 9 >= end)
        return head_refuse(walk, 400, "the request line has no target");
    span_set(&head->target, target, end - 9 - target);
    int path = text[target] == '/' && head->method != METHOD_CONNECT;
    status = path ? walk_target(walk, target, end - 9) : head_rule_target(walk);
    if (minor == 0 || head->target_form != TARGET_ORIGIN)
        walk->progress->seen |= SEEN_ODD_LINE;
    return status;
}

/* The request line [at, end): GET of a path in HTTP/1.1 is told here. */
HEAD_CODE HEAD_INLINE int walk_request_line(struct head_walk *walk, size_t at, size_t end)
{
    const char *text = walk->text;
    struct http_head *head = walk->head;
    if (UNLIKELY((uint32_t)head_word(text + at) != 0x20544547u || end - at < 14 || text[end - 9] != ' ' ||
                 version_minor(text + end) != 1 || text[at + 4] != '/'))
        return odd_request_line(walk, at, end);
    head->method = METHOD_GET;
    head->minor = 1;
    head->method_text.at = (uint16_t)at;
    head->method_text.bytes = 3;
    head->target.at = (uint16_t)(at + 4);
    head->target.bytes = (uint16_t)(end - at - 13);
    return walk_target(walk, at + 4, end - 9);
}

/* Parses the first line, of which the bytes from `at` to `from` are known not to end it. Returns 1 and where the next
 * begins, or what the parse has to return (0 or less). */
HEAD_CODE HEAD_INLINE int walk_first_line(struct head_walk *walk, struct lines *lines, size_t at, size_t from,
                                          int response, size_t *ret_next)
{
    const char *text = walk->text;
    size_t end;
    lines_seek(lines, from);
    if (UNLIKELY(!lines_next(lines, &end) || end - at > walk->limits->line_bytes ||
                 !is_pair(text + end, '\r', '\n'))) {
        int found = odd_end(walk, at, from);
        if (found <= 0)
            return found;
        end = (size_t)found;
        lines_seek(lines, end + 2);
    }
    lines->mask &= lines->mask - 1; /* its LF */
    head_begin(walk->head);
    int status = response ? head_rule_status_line(walk, (uint32_t)end) : walk_request_line(walk, at, end);
    if (UNLIKELY(status < 0))
        return status;
    walk->progress->started = 1;
    *ret_next = end + 2;
    return 1;
}

/* Goes on where an earlier call stopped, or behind an empty line that is forgiven (RFC 9112 §2.2: one, before a request
 * line). */
HEAD_CODE __attribute__((noinline)) static int odd_start(struct head_walk *walk, struct lines lines, int response)
{
    size_t at = walk->progress->line_at, scanned = walk->progress->scanned;
    if (walk->progress->started) {
        lines_seek(&lines, at + scanned);
        return walk_fields(walk, lines, at, scanned, walk->head->field_count, response);
    }
    if (at == 0 && !response && walk->count > 1 && is_pair(walk->text, '\r', '\n')) {
        at = 2;
        scanned = 0;
    }
    int status = walk_first_line(walk, &lines, at, at + scanned, response, &at);
    return status <= 0 ? status : walk_fields(walk, lines, at, 0, 0, response);
}

HEAD_CODE HEAD_INLINE int walk_head(struct head_walk *walk, int response)
{
    struct lines lines = { .text = walk->text, .last = walk->count - (walk->count > 0) };
    uint32_t begun;
    memcpy(&begun, &walk->progress->line_at, sizeof begun);
    if (UNLIKELY(begun | walk->progress->started || *walk->text == '\r'))
        return odd_start(walk, lines, response);
    size_t at;
    int status = walk_first_line(walk, &lines, 0, 0, response, &at);
    return status <= 0 ? status : walk_fields(walk, lines, at, 0, 0, response);
}

HEAD_CODE int HEAD_REQUEST(struct http_scan *scan, uint32_t at, const struct http_head_limits *limits,
                           struct http_head_progress *progress, struct http_head *head, const char **ret_reason)
{
    const uint32_t count = scan->bytes - at, most = head_most(limits);
    struct head_walk walk = { .text = scan->base + at, .count = count < most ? count : most, .response = 0,
                              .limits = limits, .head = head, .progress = progress, .ret_reason = ret_reason };
    return walk_head(&walk, 0);
}

HEAD_CODE int HEAD_RESPONSE(struct http_scan *scan, uint32_t at, const struct http_head_limits *limits,
                            struct http_head_progress *progress, struct http_head *head, const char **ret_reason)
{
    const uint32_t count = scan->bytes - at, most = head_most(limits);
    struct head_walk walk = { .text = scan->base + at, .count = count < most ? count : most, .response = 1,
                              .limits = limits, .head = head, .progress = progress, .ret_reason = ret_reason };
    return walk_head(&walk, 1);
}
