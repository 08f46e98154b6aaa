/* The head parser for processors with AVX2 and BMI: 32 bytes at a time, controls as bitmaps of 64. See head_walk.inl.h. */
#if defined(__x86_64__)
#include "http/head_private.h"
#include "http/head_parts.inl.h"
#include <immintrin.h>

#define HEAD_CODE __attribute__((target("avx2,bmi,bmi2")))
#define HEAD_REQUEST head_request_avx2
#define HEAD_RESPONSE head_response_avx2

enum { BLOCK_BYTES = 64, BLOCK_STEP = 1 };

HEAD_CODE static inline __m256i constant(const char *at)
{
    return _mm256_load_si256((const __m256i *)(const void *)at);
}

HEAD_CODE static inline __m256i load(const char *at)
{
    return _mm256_loadu_si256((const __m256i *)(const void *)at);
}

HEAD_CODE static inline uint32_t bits(__m256i bytes)
{
    return (uint32_t)_mm256_movemask_epi8(bytes);
}

HEAD_CODE static inline __m256i equal(__m256i bytes, const char *constants)
{
    return _mm256_cmpeq_epi8(bytes, constant(constants));
}

/* One less than the space and one more than the tilde are neighbours of the sign: by one addition the controls, and with
 * them all that is no ASCII, come to lie below the rest. */
HEAD_CODE static inline uint32_t suspects(const char *at)
{
    __m256i moved = _mm256_add_epi8(constant(head_vectors.one), load(at));
    return bits(_mm256_cmpgt_epi8(constant(head_vectors.past_controls), moved));
}

HEAD_CODE static inline uint64_t block_suspects(const char *at)
{
    return suspects(at) | (uint64_t)suspects(at + 32) << 32;
}

HEAD_CODE static inline uint64_t block_below(uint64_t mask, size_t bytes)
{
    return _bzhi_u64(mask, (uint32_t)bytes);
}

/* How many of the 32 bytes at `text` are in a set, up to the first that is not. Bytes from 0x80 up are in none: the
 * shuffle gives 0 for them. */
HEAD_CODE static inline uint32_t run(const char *text, const char *set)
{
    __m256i v = load(text);
    __m256i high = _mm256_and_si256(_mm256_srli_epi16(v, 4), constant(head_vectors.nibble));
    __m256i columns = _mm256_shuffle_epi8(constant(set), v);
    __m256i rows = _mm256_shuffle_epi8(constant(head_vectors.rows), high);
    __m256i in = _mm256_and_si256(columns, rows);
    return _tzcnt_u32(bits(_mm256_cmpeq_epi8(in, _mm256_setzero_si256())));
}

HEAD_CODE static inline uint32_t token_run(const char *text)
{
    return run(text, head_vectors.token);
}

HEAD_CODE static inline uint32_t host_run(const char *text)
{
    return run(text, head_vectors.host);
}

/* What is no visible ASCII, and '#': signed, bytes from 0x80 up are less than the space; DEL never comes here. */
HEAD_CODE static inline __m256i unseen(__m256i v)
{
    __m256i below = _mm256_cmpgt_epi8(constant(head_vectors.past_controls), v);
    return _mm256_or_si256(below, equal(v, head_vectors.hash));
}

/* A bit for each of 32 bytes that ends a plain path. */
HEAD_CODE static inline uint32_t path_ends(const char *text)
{
    __m256i v = load(text), next = load(text + 1);
    __m256i follows = equal(_mm256_or_si256(next, constant(head_vectors.one)), head_vectors.slash); /* '.' or '/' */
    __m256i climb = _mm256_and_si256(equal(v, head_vectors.slash), follows);
    __m256i mark = _mm256_or_si256(equal(v, head_vectors.percent), equal(v, head_vectors.question));
    return bits(_mm256_or_si256(_mm256_or_si256(mark, climb), unseen(v)));
}

HEAD_CODE __attribute__((noinline)) static const char *path_end_far(const char *text)
{
    uint32_t found;
    while (!(found = path_ends(text)))
        text += 32;
    return text + _tzcnt_u32(found);
}

HEAD_CODE static inline const char *path_end(const char *text)
{
    uint32_t found = path_ends(text); /* without the loop, for which constants would go to registers */
    return __builtin_expect(found != 0, 1) ? text + _tzcnt_u32(found) : path_end_far(text + 32);
}

HEAD_CODE static inline const char *query_end(const char *text)
{
    for (;; text += 32) {
        uint32_t found = bits(unseen(load(text)));
        if (found)
            return text + _tzcnt_u32(found);
    }
}

HEAD_CODE static inline uint64_t low_bytes(uint64_t word, uint32_t count)
{
    return _bzhi_u64(word, count * 8);
}

HEAD_CODE static inline uint32_t name_end(const char *name)
{
    return _tzcnt_u32(bits(equal(load(name), head_vectors.colon)));
}

HEAD_CODE static inline int name_fits(const struct head_name *known, const char *name, int less)
{
    uint32_t mask = known->mask >> less;
    __m256i lower = _mm256_or_si256(load(name), constant(head_vectors.case_bit));
    return (~bits(equal(lower, known->text)) & mask) == 0;
}

#include "http/head_walk.inl.h"
#endif
