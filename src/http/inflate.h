/* Content that came gzipped, zlib-wrapped or as raw deflate (RFC 1950, 1951, 1952), inflated piece by piece.
 * Bytes in, bytes out, both the caller's; how much may come out altogether is the caller's limit to keep. A step never
 * makes more than the room it is given, so a "zip bomb" costs nobody more than one step beyond that limit.
 * Unlike the rest of this room it allocates (about 40 KiB), once, in inflater_new(). */
#pragma once
#ifndef MG_CDEF
#include <stdint.h>
#endif

enum inflater_kind { INFLATER_BY_HEAD = 0, INFLATER_RAW = 1 };

struct inflater;

/* BY_HEAD: gzip (any number of members, RFC 1952 §2.2) or zlib, told apart by the first byte. NULL: no memory. */
struct inflater *inflater_new(int32_t kind);
/* Accepts NULL. */
void inflater_free(struct inflater *z);

/* Takes some of `in`, makes some of `out`. Returns the bytes made (≥ 0) and in ret_used those taken; call again with the rest
 * while something was taken or `out` was filled. *ret_done is 1 when what was taken so far is whole: that is the end,
 * unless another gzip member follows. -EINVAL: not such data, or data after its end. -ENOMEM. Failure is final. */
int32_t inflater_step(struct inflater *z, const char *in, uint32_t in_bytes, uint32_t *ret_used, char *out,
                      uint32_t out_bytes, int32_t *ret_done);
