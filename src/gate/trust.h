/* Which peers may say who their client is (trusted_proxies), and who that is then. Comes in: networks as lines of text, a peer, a request
 * head. Goes out: an address. */
#pragma once
#include <stdbool.h>

#include "base/slice.h"
#include "gate/peer.h"
#include "http/message.h"

enum { TRUST_MAX = 256 };

struct trust_network {
    uint8_t bytes[16], bits;
    uint16_t family; /* AF_UNIX: all of them */
};

struct trust {
    uint32_t count;
    struct trust_network networks[TRUST_MAX];
};

/* "10.0.0.0/8\n::1\nunix\n". 0; -EINVAL: a line that is none; -ENOSPC. Nothing has changed then. */
int trust_read(struct trust *trust, struct slice lines);
bool trust_has(const struct trust *trust, const struct peer *peer);
/* The client that a trusted peer speaks for: of X-Forwarded-For the last address that is not a trusted one's, without a port. False: the peer
 * is the client. */
bool trust_client(const struct trust *trust, const struct peer *peer, const struct http_head *head, const char *base, struct peer *ret_client);
