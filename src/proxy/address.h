/* Where a server is, as a config writes it: "10.0.0.7:80", "[::1]:80", "unix:/path", "name:80", or the name of a service ("_http._tcp.name").
 * Comes in: text. Goes out: a socket address, or the name to ask for (resolve.h). Pure: nothing is looked up here, but by
 * address_is_known(). */
#pragma once
#ifndef MG_CDEF
#include <stdint.h>
#endif

enum { PLACE_LABEL_BYTES = 344, PLACE_HOST_BYTES = 256, PLACE_TEXT_BYTES = 272 };

struct proxy_address {
    uint64_t storage[16]; /* a struct sockaddr of any family */
    uint32_t bytes;
    char label[PLACE_LABEL_BYTES]; /* for messages: as written, and for a name its address in brackets */
};

enum place_kind { PLACE_SOCKET, PLACE_NAME, PLACE_SERVICE };

struct address_name {
    char host[PLACE_HOST_BYTES];
    uint16_t port; /* 0: the service's answer says it */
};

/* What is written there: enum place_kind with *ret_address (a socket) or *ret_name filled in, or -EINVAL with what is wrong with its
 * form. `is_service`: the text is the name of a service, with or without a port that is then not used. */
int address_read(const char *text, uint32_t bytes, int is_service, struct proxy_address *ret_address, struct address_name *ret_name,
                  char *ret_message, uint32_t message_bytes);

/* One address that a name has: `raw` are the 4 bytes of AF_INET or the 16 of AF_INET6. */
void address_of_name(const char *text, int family, const void *raw, uint16_t port, struct proxy_address *ret_address);

/* Does the system know that host name? It is asked in a thread of its own and waited for at most wait_ms, for a check of a configuration.
 * 0: yes; -ENOENT: no, with a message; -ETIMEDOUT: it did not say in time, and the thread is left behind. */
int address_is_known(const char *host, uint32_t bytes, uint32_t wait_ms, char *ret_message, uint32_t message_bytes);
