/* The head parser for any x86-64 processor: 16 bytes at a time where SSE2 has the means, else by table; controls as
 * bitmaps of 64. */
#if defined(__x86_64__)
#include "http/head_private.h"
#include <emmintrin.h>

#define HEAD_CODE
#define HEAD_REQUEST head_request_sse2
#define HEAD_RESPONSE head_response_sse2

enum { BLOCK_BYTES = 64, BLOCK_STEP = 1 };

static inline __m128i load(const char *at)
{
    return _mm_loadu_si128((const __m128i *)(const void *)at);
}

static inline uint32_t bits(__m128i bytes)
{
    return (uint32_t)_mm_movemask_epi8(bytes);
}

static inline __m128i equal(__m128i bytes, char byte)
{
    return _mm_cmpeq_epi8(bytes, _mm_set1_epi8(byte));
}

/* As in head_avx2.c. */
static inline uint32_t suspects(const char *at)
{
    __m128i moved = _mm_add_epi8(load(at), _mm_set1_epi8(1));
    return bits(_mm_cmpgt_epi8(_mm_set1_epi8(0x21), moved));
}

static inline uint64_t block_suspects(const char *at)
{
    uint32_t low = suspects(at) | suspects(at + 16) << 16;
    return low | (uint64_t)(suspects(at + 32) | suspects(at + 48) << 16) << 32;
}

static inline uint64_t block_below(uint64_t mask, size_t bytes)
{
    return mask & (((uint64_t)1 << bytes) - 1);
}

static inline uint32_t name_end(const char *name)
{
    uint32_t found = bits(equal(load(name), ':'));
    if (found)
        return (uint32_t)__builtin_ctz(found);
    found = bits(equal(load(name + 16), ':'));
    return found ? (uint32_t)__builtin_ctz(found) + 16 : 32;
}

static inline int name_fits(const struct head_name *known, const char *name, int less)
{
    uint32_t mask = known->mask >> less;
    const __m128i fold = _mm_set1_epi8(0x20);
    uint32_t fit = bits(_mm_cmpeq_epi8(_mm_or_si128(load(name), fold), load(known->text)));
    if (mask >> 16)
        fit |= bits(_mm_cmpeq_epi8(_mm_or_si128(load(name + 16), fold), load(known->text + 16))) << 16;
    return (~fit & mask) == 0;
}

static inline const char *path_end(const char *text)
{
    for (;; text += 16) {
        __m128i v = load(text), next = load(text + 1);
        __m128i good = _mm_andnot_si128(equal(v, '#'), _mm_cmpgt_epi8(v, _mm_set1_epi8(' ')));
        __m128i climb = _mm_and_si128(equal(v, '/'), equal(_mm_or_si128(next, _mm_set1_epi8(1)), '/'));
        __m128i odd = _mm_or_si128(_mm_or_si128(equal(v, '%'), equal(v, '?')), climb);
        uint32_t plain = bits(_mm_andnot_si128(odd, good));
        if (plain != 0xFFFF)
            return text + __builtin_ctz(~plain);
    }
}

#include "http/head_table.inl.h"
#include "http/head_walk.inl.h"
#endif
