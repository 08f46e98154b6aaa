/* The head parser for processors with AVX2 and BMI: 32 bytes at a time. See head_walk.inl.h. */
#if defined(__x86_64__)
#include "http/head_private.h"
#include "http/head_parts.inl.h"
#include <immintrin.h>

#define HEAD_CODE __attribute__((target("avx2,bmi,bmi2")))
#define HEAD_WALK head_walk_avx2

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

/* A bit for each control among 32 bytes: 0x00-0x1F, 0x7F. */
HEAD_CODE static inline uint32_t controls(__m256i v)
{
    __m256i low = _mm256_cmpeq_epi8(_mm256_min_epu8(v, constant(head_vectors.last_control)), v);
    return bits(_mm256_or_si256(low, equal(v, head_vectors.del)));
}

HEAD_CODE static inline const char *line_end(const char *at, const char *stop)
{
    /* Most lines end within 32 bytes; the others are taken by 64, for fewer branches that depend on their length. */
    uint32_t near = controls(load(at));
    if (near)
        return at + _tzcnt_u32(near);
    for (at += 32; at < stop; at += 64) {
        uint64_t found = controls(load(at)) | (uint64_t)controls(load(at + 32)) << 32;
        if (found)
            return at + _tzcnt_u64(found);
    }
    return stop;
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

/* Visible ASCII but '#': signed, bytes from 0x80 up are less than the space; DEL never comes here. */
HEAD_CODE static inline __m256i visible(__m256i v)
{
    __m256i above = _mm256_cmpgt_epi8(v, constant(head_vectors.space));
    return _mm256_andnot_si256(equal(v, head_vectors.hash), above);
}

HEAD_CODE static inline const char *path_end(const char *text)
{
    for (;; text += 32) {
        __m256i v = load(text), next = load(text + 1);
        __m256i follows = equal(_mm256_or_si256(next, constant(head_vectors.one)), head_vectors.slash); /* '.' or '/' */
        __m256i climb = _mm256_and_si256(equal(v, head_vectors.slash), follows);
        __m256i mark = _mm256_or_si256(equal(v, head_vectors.percent), equal(v, head_vectors.question));
        uint32_t plain = bits(_mm256_andnot_si256(_mm256_or_si256(mark, climb), visible(v)));
        if (plain != ~0u)
            return text + _tzcnt_u32(~plain);
    }
}

HEAD_CODE static inline const char *query_end(const char *text)
{
    for (;; text += 32) {
        uint32_t good = bits(visible(load(text)));
        if (good != ~0u)
            return text + _tzcnt_u32(~good);
    }
}

HEAD_CODE static inline uint64_t low_bytes(uint64_t word, uint32_t count)
{
    return _bzhi_u64(word, count * 8);
}

/* Of token characters `| 0x20` folds none but letters onto the letters and hyphens that known names are made of. The
 * comparison takes in the colon, so it compares the length. From 32 bytes on no place fits but a free one. */
HEAD_CODE static inline uint32_t name_number(const char *name, uint32_t bytes)
{
    __m256i lower = _mm256_or_si256(load(name), constant(head_vectors.case_bit));
    uint64_t first = _bzhi_u64(head_word(name) | 0x2020202020202020u, bytes * 8);
    const struct head_name *known = &head_names[head_name_place(first, bytes)];
    while (~bits(_mm256_cmpeq_epi8(lower, load(known->text))) & known->mask)
        known++;
    return known->id;
}

#include "http/head_walk.inl.h"
#endif
