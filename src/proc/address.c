/* Parses and prints addresses to listen on. */
#include "proc/address.h"

#include <arpa/inet.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static const char expected[] = "expected an address such as 127.0.0.1:8080, [::1]:8080, :8080 or unix:/path";
static const char no_port[] = "the port is missing, as in 127.0.0.1:8080 or :8080";
static const char not_numeric[] = "names are not looked up: give a numeric address, localhost, or the port alone, as in :8080";

static bool read_port(const char *text, uint16_t *ret_port)
{
    uint32_t port = 0;
    size_t digits = strspn(text, "0123456789");
    if (digits == 0 || digits > 5 || text[digits])
        return false;
    for (; *text; text++)
        port = port * 10 + (uint32_t)(*text - '0');
    *ret_port = (uint16_t)port;
    return port <= UINT16_MAX;
}

static const char *parse_unix(const char *path, struct address *address)
{
    if (*path != '/')
        return "expected an absolute path after \"unix:\"";
    if (strlen(path) >= sizeof address->local.sun_path)
        return "the path of a unix socket has at most 107 bytes";
    address->kind = ADDRESS_UNIX;
    address->local = (struct sockaddr_un){ .sun_family = AF_UNIX };
    strcpy(address->local.sun_path, path);
    address->bytes = sizeof address->local;
    return NULL;
}

static const char *parse_host(const char *host, struct address *address)
{
    bool all = *host == 0 || strcmp(host, "*") == 0;
    size_t bytes = strlen(host);
    if (all) {
        address->kind = ADDRESS_BOTH;
        address->v6 = (struct sockaddr_in6){ .sin6_family = AF_INET6 };
        address->bytes = sizeof address->v6;
        return NULL;
    }
    if (*host == '[' && bytes > 2 && host[bytes - 1] == ']') {
        char inner[ADDRESS_TEXT_BYTES];
        memcpy(inner, host + 1, bytes - 2);
        inner[bytes - 2] = 0;
        address->kind = ADDRESS_V6;
        address->v6 = (struct sockaddr_in6){ .sin6_family = AF_INET6 };
        address->bytes = sizeof address->v6;
        return inet_pton(AF_INET6, inner, &address->v6.sin6_addr) == 1 ? NULL : expected;
    }
    address->kind = ADDRESS_V4;
    address->v4 = (struct sockaddr_in){ .sin_family = AF_INET };
    address->bytes = sizeof address->v4;
    const char *number = strcmp(host, "localhost") == 0 ? "127.0.0.1" : host;
    if (inet_pton(AF_INET, number, &address->v4.sin_addr) == 1)
        return NULL;
    if (strchr(host, ':') && !strchr(host, '['))
        return "an IPv6 address stands in brackets, as in [::1]:8080";
    return strspn(host, "0123456789.") == bytes ? expected : not_numeric;
}

/* Why a text has no port that can be read. `colon`: the last one, if any. */
static const char *explain_port(const char *text, const char *colon)
{
    if (!*text)
        return expected;
    if (!colon)
        return strspn(text, "0123456789") == strlen(text) ? "a port follows a colon, as in :8080 or 127.0.0.1:8080" : no_port;
    if (*text == '[' && text[strlen(text) - 1] == ']')
        return no_port;
    return colon[1] && strspn(colon + 1, "0123456789") == strlen(colon + 1) ? "ports go from 0 to 65535" : expected;
}

const char *address_parse(const char *text, struct address *ret_address)
{
    struct address address = { 0 };
    char host[ADDRESS_TEXT_BYTES];
    uint16_t port;
    if (strlen(text) >= sizeof host)
        return expected;
    strcpy(address.text, text);
    const char *why;
    if (strncmp(text, "unix:", 5) == 0) {
        why = parse_unix(text + 5, &address);
    } else {
        const char *colon = strrchr(text, ':');
        size_t host_bytes = colon ? (size_t)(colon - text) : 0;
        memcpy(host, text, host_bytes);
        host[host_bytes] = 0;
        if (strstr(text, "://"))
            return "an address has no scheme, as in 127.0.0.1:8080";
        if (!colon || !read_port(colon + 1, &port))
            return explain_port(text, colon);
        why = parse_host(host, &address);
        if (!why)
            address_set_port(&address, port);
    }
    if (!why)
        *ret_address = address;
    return why;
}

uint16_t address_port(const struct address *address)
{
    if (address->kind == ADDRESS_UNIX)
        return 0;
    return ntohs(address->any.sa_family == AF_INET ? address->v4.sin_port : address->v6.sin6_port);
}

void address_set_port(struct address *address, uint16_t port)
{
    if (address->any.sa_family == AF_INET)
        address->v4.sin_port = htons(port);
    else if (address->any.sa_family == AF_INET6)
        address->v6.sin6_port = htons(port);
}

void address_fall_back(struct address *address)
{
    uint16_t port = address_port(address);
    address->v4 = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(port) };
    address->bytes = sizeof address->v4;
}

void address_url(const struct address *address, char *buffer)
{
    char host[INET6_ADDRSTRLEN];
    if (address->kind == ADDRESS_UNIX) {
        snprintf(buffer, ADDRESS_TEXT_BYTES, "unix:%s", address->local.sun_path);
    } else if (address->any.sa_family == AF_INET) {
        inet_ntop(AF_INET, &address->v4.sin_addr, host, sizeof host);
        snprintf(buffer, ADDRESS_TEXT_BYTES, "http://%s:%u", host, address_port(address));
    } else {
        inet_ntop(AF_INET6, &address->v6.sin6_addr, host, sizeof host);
        snprintf(buffer, ADDRESS_TEXT_BYTES, "http://[%s]:%u", host, address_port(address));
    }
}
