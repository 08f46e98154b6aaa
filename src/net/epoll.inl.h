/* The engine of a net. Part of epoll.h. */
#pragma once

static inline struct epoll *epoll_of(struct net *net)
{
    return (struct epoll *)net;
}
