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
