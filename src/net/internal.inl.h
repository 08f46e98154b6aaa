/* The layout of tags, which connection is which, and the stack of lent buffers. Part of internal.h. */
#pragma once
#include "base/must.h"

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

/* Off the stack, to be filled: its number, or -1. */
static inline int32_t lent_take(struct net *net)
{
    return net->lent.free > 0 ? net->lent.stack[--net->lent.free] : -1;
}

static inline void lent_return(struct net *net, uint32_t buffer)
{
    must(net->lent.free < net->lent.entries);
    net->lent.stack[net->lent.free++] = (uint16_t)buffer;
}

static inline char *lent_memory(const struct net *net, uint32_t buffer)
{
    return net->lent.memory + (size_t)buffer * net->lent.each;
}
