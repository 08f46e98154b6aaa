/* Sending without the ring and without copying, for conn.c; and what that tells conn.c of it. Nobody outside this folder includes it. */
#pragma once
#include "net/internal.h"

/* direct.c */
bool direct_is_due(const struct net *net, const struct conn *conn);
/* Until it would wait, or the connection has had its share of this turn. */
void direct_send(struct net *net, struct conn *conn);
void direct_close(struct net *net);

/* conn.c: the kernel has taken so much of the queue; or it failed. */
void conn_took(struct net *net, struct conn *conn, uint32_t bytes);
void conn_send_failed(struct net *net, struct conn *conn, int32_t result);
