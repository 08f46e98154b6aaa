/* Where a client is: asked once, when its connection begins. A socket that was reset does not know its peer any more. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

struct peer {
    uint8_t bytes[16];
    uint16_t port, family; /* AF_INET, AF_INET6, AF_UNIX; AF_UNSPEC: it had gone before it could be asked */
};

void peer_find(int fd, struct peer *ret_peer);
/* "address" or "address:port"; "unix", or "-" when it had gone before it could be asked. The length written. */
int peer_text(const struct peer *peer, bool port, char *ret, uint32_t bytes);
