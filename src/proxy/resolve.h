/* Names to addresses, without blocking: c-ares asks, the engine says when its sockets are readable, alarms when it is late. /etc/hosts and
 * resolv.conf (nsswitch.conf) are honoured, and resolv.conf is read again when it has changed.
 *
 * What is asked for is answered once, by a call that may come before resolver_ask() returns, and in which nothing new may be asked. */
#pragma once
#include "proxy/alarm.h"

struct resolver;

enum { RESOLVE_MAX = 64, RESOLVE_SOCKETS = 32 };

struct resolved {
    uint8_t raw[16];           /* 4 of them for AF_INET */
    uint16_t family;           /* AF_INET or AF_INET6 */
    uint16_t port;             /* of a service; 0 for a host */
    uint16_t priority, weight; /* of a service (RFC 2782): smaller first; more to the heavier */
};

struct resolve_answer {
    const char *why;  /* it failed: the reason; otherwise NULL */
    uint32_t ttl_ms;  /* how long it holds; 0: not said */
    uint32_t count;
    struct resolved list[RESOLVE_MAX];
};

typedef void resolve_answered(void *context, const struct resolve_answer *answer);

/* `user` and the RESOLVE_SOCKETS numbers behind it name its sockets in NET_READY. NULL: out of memory. */
struct resolver *resolver_new(struct net *net, struct alarms *alarms, uint32_t user);
/* What was asked for is not answered any more. */
void resolver_free(struct resolver *resolver);
/* `server` "": as the system is set up; otherwise "IP:PORT". `is_service`: the servers of a service with all their addresses. */
void resolver_ask(struct resolver *resolver, const char *server, const char *host, int is_service, resolve_answered *answered, void *context);
/* NET_READY of the socket with that number, from 0. */
void resolver_ready(struct resolver *resolver, uint32_t socket);
