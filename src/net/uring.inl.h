/* The ring of an engine. Part of uring.h. */
#pragma once

static inline struct uring *uring_of(struct net *net)
{
    return (struct uring *)net;
}
