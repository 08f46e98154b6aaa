/* Asking a socket for its peer, and writing that down. */
#include "gate/peer.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

void peer_find(int fd, struct peer *ret_peer)
{
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
        struct sockaddr_un local;
    } at = { .any = { .sa_family = AF_UNSPEC } };
    socklen_t at_bytes = sizeof at;
    *ret_peer = (struct peer){ .family = AF_UNSPEC };
    if (getpeername(fd, &at.any, &at_bytes) < 0)
        return;
    if (at.any.sa_family == AF_INET) {
        memcpy(ret_peer->bytes, &at.v4.sin_addr, sizeof at.v4.sin_addr);
        ret_peer->port = ntohs(at.v4.sin_port);
        ret_peer->family = AF_INET;
    } else if (at.any.sa_family == AF_INET6) {
        bool mapped = IN6_IS_ADDR_V4MAPPED(&at.v6.sin6_addr);
        memcpy(ret_peer->bytes, at.v6.sin6_addr.s6_addr + (mapped ? 12 : 0), mapped ? 4 : 16);
        ret_peer->port = ntohs(at.v6.sin6_port);
        ret_peer->family = mapped ? AF_INET : AF_INET6;
    } else {
        ret_peer->family = AF_UNIX;
    }
}

/* Asked for with every request that is passed on. At most 15 bytes and a NUL. */
static int v4_text(const uint8_t *bytes, char *ret)
{
    char *at = ret;
    for (int i = 0; i < 4; i++) {
        uint32_t part = bytes[i];
        if (i)
            *at++ = '.';
        if (part >= 100)
            *at++ = (char)('0' + part / 100);
        if (part >= 10)
            *at++ = (char)('0' + part / 10 % 10);
        *at++ = (char)('0' + part % 10);
    }
    *at = '\0';
    return (int)(at - ret);
}

int peer_text(const struct peer *peer, bool port, char *ret, uint32_t bytes)
{
    if (peer->family == AF_INET && !port && bytes >= INET_ADDRSTRLEN)
        return v4_text(peer->bytes, ret);
    char text[INET6_ADDRSTRLEN];
    if (peer->family != AF_INET && peer->family != AF_INET6)
        return snprintf(ret, bytes, peer->family == AF_UNIX ? "unix" : "-");
    inet_ntop(peer->family, peer->bytes, text, sizeof text);
    if (!port)
        return snprintf(ret, bytes, "%s", text);
    return snprintf(ret, bytes, peer->family == AF_INET6 ? "[%s]:%u" : "%s:%u", text, peer->port);
}
