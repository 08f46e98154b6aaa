/* Which server an exchange is sent to, and what is learnt from that: part of inner.h. */
#pragma once
#include "proxy/upstream.h"

/* Which one is next: a seat; -ENOENT: none is left; -EAGAIN: wait, those that are left are full or not known yet. `out`: bit set of seats
 * that were tried; `key`: for a hash; `seat` ≥ 0: that one, if it may be used at all, whatever the balance. */
int choice_pick(struct proxy *proxy, struct upstream *upstream, uint64_t out, uint64_t key, int seat);
/* All that it could go to have as many connections as they may have, or are not known yet. */
bool choice_must_wait(struct proxy *proxy, struct upstream *upstream, uint64_t out);
uint32_t choice_order(struct proxy *proxy, struct upstream *upstream, uint64_t key, uint32_t *ret_order);
/* Who may be used has changed. */
void choice_changed(struct upstream *upstream);
void choice_server_changed(struct proxy *proxy, const struct server *server);
void choice_connected(struct proxy *proxy, struct link *link);
/* Connecting failed; `link` NULL: before there was one. */
void choice_refused(struct proxy *proxy, const struct upstream *upstream, uint32_t seat, const struct link *link);
/* A response head has come. */
void choice_answered(struct proxy *proxy, struct link *link, uint16_t status);
/* The connection was lost, was too slow or made no sense, through no fault of ours or the client. */
void choice_failed(struct proxy *proxy, struct link *link);
