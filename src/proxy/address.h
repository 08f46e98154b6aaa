/* Where a server is: the text of a config becomes socket addresses. Comes in: "10.0.0.7:80", "[::1]:80", "unix:/path" or
 * "name:80". Goes out: one address for each that the name has. A name is asked with getaddrinfo(3), which blocks: this is called
 * while a configuration is loaded, never for a request. */
#pragma once
#ifndef MG_CDEF
#include <stdint.h>
#endif

enum { ADDRESS_LABEL_BYTES = 160, ADDRESS_PER_NAME = 16 };

struct proxy_address {
    uint64_t storage[16]; /* a struct sockaddr of any family */
    uint32_t bytes;
    char label[ADDRESS_LABEL_BYTES]; /* for messages: as written, and for a name its address in brackets */
};

/* Fills at most `room` addresses; a name's further ones are left out. Returns how many (> 0), or -EINVAL (not the form of a server)
 * or -ENOENT (no such name) with what is wrong in ret_message. */
int address_resolve(const char *text, uint32_t bytes, struct proxy_address *ret_addresses, uint32_t room, char *ret_message,
                    uint32_t message_bytes);

/* Does the system know that host name? It is asked in a thread of its own and waited for at most wait_ms, for a check of a configuration.
 * 0: yes; -ENOENT: no, with a message; -ETIMEDOUT: it did not say in time, and the thread is left behind. */
int address_is_known(const char *host, uint32_t bytes, uint32_t wait_ms, char *ret_message, uint32_t message_bytes);
