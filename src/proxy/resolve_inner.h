/* Answers about services, read by service.c for resolve.c. */
#pragma once
#ifndef MG_CDEF
#include <stdint.h>
#endif

enum { SERVICE_TARGETS_MAX = 32, SERVICE_HOST_BYTES = 256 };

struct service_target {
    char host[SERVICE_HOST_BYTES];
    uint16_t port, priority, weight;
};

/* The SRV records (RFC 2782) of a DNS message, at most SERVICE_TARGETS_MAX: how many. *ret_ttl_ms: the least of theirs; 0: there is none. Bytes
 * that are no such message give none. A target of "." says that there is no such service. */
uint32_t service_read(const unsigned char *bytes, int count, struct service_target *ret_targets, uint32_t *ret_ttl_ms);
