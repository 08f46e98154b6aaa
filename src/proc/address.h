/* Where to listen: text comes in, a socket address goes out, and back. Numbers only: no name is ever looked up. */
#pragma once
#include <netinet/in.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

enum address_kind {
    ADDRESS_V4,   /* 127.0.0.1:80, localhost:80, 0.0.0.0:80 */
    ADDRESS_V6,   /* [::1]:80: IPv6 alone */
    ADDRESS_BOTH, /* :80, *:80: all addresses of both families */
    ADDRESS_UNIX, /* unix:/path */
};

enum { ADDRESS_TEXT_BYTES = 128 };

struct address {
    enum address_kind kind;
    char text[ADDRESS_TEXT_BYTES]; /* as written */
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
        struct sockaddr_un local;
    };
    socklen_t bytes; /* of the socket address */
};

/* NULL, or what was expected (a sentence without the text itself; valid for ever). */
const char *address_parse(const char *text, struct address *ret_address);
uint16_t address_port(const struct address *address);
void address_set_port(struct address *address, uint16_t port);
/* Makes an address for all of both families one for IPv4 alone, for machines without IPv6. */
void address_fall_back(struct address *address);
/* Writes http://HOST:PORT or unix:/path to `buffer` (≥ ADDRESS_TEXT_BYTES). */
void address_url(const struct address *address, char *buffer);
