/* The layout of tags, and which connection is which. Part of internal.h. */
#pragma once

static inline uint64_t op_tag(enum op op, uint32_t generation, uint32_t slot)
{
    return (uint64_t)op << 56 | (uint64_t)(generation & GENERATION_MASK) << 32 | slot;
}

static inline uint32_t conn_index(const struct net *net, const struct conn *conn)
{
    return (uint32_t)(conn - net->conns);
}

static inline uint64_t conn_tag(const struct net *net, const struct conn *conn, enum op op)
{
    return op_tag(op, conn->generation, conn_index(net, conn));
}
