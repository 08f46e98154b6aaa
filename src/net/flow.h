/* The two directions of a connection, each by itself: what the other side took and says. Part of net.h. */
#pragma once
#include "base/slice.h"

struct net;
struct net_queue;

/* Bytes that the other side has acknowledged since the connection began: these move also while the kernel's own buffer is full. */
uint64_t conn_acked(const struct net *net, uint32_t conn);
/* Nothing has come that was not told yet, neither bytes nor an end. Asks the kernel. */
int conn_is_quiet(const struct net *net, uint32_t conn);
/* 0: nothing more will be received on it: it has ended or failed, even if the event that says so has not been taken yet. */
int conn_hears(const struct net *net, uint32_t conn);
/* When it is closed the other side is told that something is missing (RST): for content that ends with the connection. */
void conn_reset_at_close(struct net *net, uint32_t conn);
/* Our side ends when the queue is sent (half-close); receiving goes on. Nothing may be written afterwards. */
void conn_end(struct net *net, uint32_t conn);
/* Puts a copy of a queue behind what the connection sends. As conn_write(). */
int conn_copy(struct net *net, uint32_t conn, const struct net_queue *queue);
