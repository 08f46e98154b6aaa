/* The head parser for any x86-64 processor: 16 bytes at a time where SSE2 has the means, else by table. */
#if defined(__x86_64__)
#include "http/head_private.h"
#include <emmintrin.h>

#define HEAD_CODE
#define HEAD_WALK head_walk_sse2

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

static inline const char *line_end(const char *at, const char *stop)
{
    for (;; at += 16) {
        __m128i v = load(at);
        __m128i low = _mm_cmpeq_epi8(_mm_min_epu8(v, _mm_set1_epi8(0x1F)), v);
        uint32_t found = bits(_mm_or_si128(low, equal(v, 0x7F)));
        if (found)
            return at + __builtin_ctz(found);
        if (at + 16 >= stop)
            return at + 16;
    }
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
