/* The means of head_walk.inl.h for processors without wide shuffles: by byte table and by word. */
#include "http/head_parts.inl.h"

static inline uint32_t token_run(const char *text)
{
    uint32_t run = 0;
    while (head_bytes[(uint8_t)text[run]] & BYTE_TOKEN)
        run++;
    return run;
}

static inline uint32_t host_run(const char *text)
{
    uint32_t run = 0;
    while (head_bytes[(uint8_t)text[run]] & BYTE_HOST)
        run++;
    return run;
}

static inline const char *query_end(const char *text)
{
    while (head_bytes[(uint8_t)*text] & BYTE_QUERY)
        text++;
    return text;
}

static inline uint64_t low_bytes(uint64_t word, uint32_t count)
{
    return count >= 8 ? word : word & (((uint64_t)1 << count * 8) - 1);
}

/* Bytes `at` to `at + 7` of a name, those beyond its end zero. Of token characters `| 0x20` folds none but letters onto
 * the letters and hyphens that known names are made of. */
static inline uint64_t lower_word(const char *name, uint32_t bytes, uint32_t at)
{
    return low_bytes(head_word(name + at) | 0x2020202020202020u, bytes - at);
}

static inline int name_is(const struct head_name *known, const char *name, uint32_t bytes)
{
    uint32_t at = 0;
    if (known->bytes != bytes)
        return 0;
    while (at < bytes && lower_word(name, bytes, at) == low_bytes(head_word(known->text + at), bytes - at))
        at += 8;
    return at >= bytes;
}

static inline uint32_t name_number(const char *name, uint32_t bytes)
{
    uint32_t place = head_name_place(lower_word(name, bytes, 0), bytes);
    while (head_names[place].bytes != 0 && !name_is(&head_names[place], name, bytes))
        place++;
    return head_names[place].id;
}
