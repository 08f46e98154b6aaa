/* The head parser for every processor: 8 bytes at a time in a word, else by table. Little-endian, as every processor is
 * that io_uring is met on. */
#include "http/head_private.h"
#include "http/head_parts.inl.h"

#define HEAD_CODE
#define HEAD_WALK head_walk_scalar

static inline const char *line_end(const char *at, const char *stop)
{
    const uint64_t ones = 0x0101010101010101u, tops = ones * 0x80;
    for (;; at += 8) {
        /* A borrow only runs upwards: the lowest bit of each of the two tests is true, hence that of both. */
        uint64_t word = head_word(at), del = word ^ ones * 0x7F;
        uint64_t found = (((word - ones * 0x20) & ~word) | ((del - ones) & ~del)) & tops;
        if (found)
            return at + __builtin_ctzll(found) / 8;
        if (at + 8 >= stop)
            return at + 8;
    }
}

static inline const char *path_end(const char *text)
{
    while (head_bytes[(uint8_t)*text] & BYTE_PATH && (*text != '/' || (text[1] | 1) != '/'))
        text++;
    return text;
}

#include "http/head_table.inl.h"
#include "http/head_walk.inl.h"
