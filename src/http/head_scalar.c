/* The head parser for every processor: 8 bytes at a time in a word, else by table. Little-endian, as every processor is
 * that io_uring is met on. */
#include "http/head_private.h"
#include "http/head_parts.inl.h"

#define HEAD_CODE
#define HEAD_REQUEST head_request_scalar
#define HEAD_RESPONSE head_response_scalar

enum { BLOCK_BYTES = 8, BLOCK_STEP = 8 };

#include "http/head_table.inl.h"

/* The top bit of each byte tells. No carry leaves its byte. */
static inline uint64_t block_suspects(const char *at)
{
    const uint64_t ones = 0x0101010101010101u, tops = ones * 0x80;
    uint64_t word = head_word(at), low = word & ~tops;
    return ((low + ones) | ~((low & ones * 0x60) + ones * 0x60) | word) & tops;
}

static inline uint64_t block_below(uint64_t mask, size_t bytes)
{
    return mask & (((uint64_t)1 << bytes * 8) - 1);
}

/* The lowest byte that is found is one; others may be too many by a borrow. */
static inline uint64_t colons(uint64_t word)
{
    const uint64_t ones = 0x0101010101010101u;
    word ^= ones * ':';
    return (word - ones) & ~word & ones * 0x80;
}

static inline uint32_t name_end(const char *name)
{
    for (uint32_t at = 0; at < 32; at += 8) {
        uint64_t found = colons(head_word(name + at));
        if (found)
            return at + (uint32_t)__builtin_ctzll(found) / 8;
    }
    return 32;
}

static inline int name_fits(const struct head_name *known, const char *name, int less)
{
    return head_name_fits(known, name, less);
}

static inline const char *path_end(const char *text)
{
    while (head_bytes[(uint8_t)*text] & BYTE_PATH && (*text != '/' || (text[1] | 1) != '/'))
        text++;
    return text;
}

#include "http/head_walk.inl.h"
