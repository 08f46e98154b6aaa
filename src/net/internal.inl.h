/* The layout of user_data. Part of internal.h. */
#pragma once

static inline uint64_t uring_tag(enum op op, uint32_t generation, uint32_t slot)
{
    return (uint64_t)op << 56 | (uint64_t)(generation & GENERATION_MASK) << 32 | slot;
}
