/* The servers of a worker, found by what they are. They are few: a list is searched when an upstream is opened or a name has new addresses. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/must.h"
#include "proxy/inner.h"

static uint64_t identity(const char *upstream, const struct proxy_address *address)
{
    char text[PROXY_NAME_BYTES + 1 + PLACE_LABEL_BYTES];
    uint32_t name_bytes = (uint32_t)strlen(upstream), label_bytes = (uint32_t)strlen(address->label);
    memcpy(text, upstream, name_bytes);
    text[name_bytes] = '\n';
    memcpy(text + name_bytes + 1, address->label, label_bytes);
    return balance_hash(text, name_bytes + 1 + label_bytes);
}

static int is_same(const struct server *server, const char *upstream, const struct proxy_address *address)
{
    return strcmp(server->upstream, upstream) == 0 && strcmp(server->address.label, address->label) == 0
           && server->address.bytes == address->bytes && memcmp(server->address.storage, address->storage, address->bytes) == 0;
}

struct server *server_get(struct proxy *proxy, const char *upstream, const struct proxy_address *address)
{
    uint64_t name = identity(upstream, address);
    struct server *server = proxy->servers;
    while (server && (server->name != name || !is_same(server, upstream, address)))
        server = server->next;
    if (!server) {
        server = calloc(1, sizeof *server);
        if (!server)
            return NULL;
        server->address = *address;
        server->name = name;
        server->idle_first = LINK_NONE;
        memcpy(server->upstream, upstream, strlen(upstream));
        server->shared = shared_get(proxy->shared, name, proxy->options.worker);
        server->next = proxy->servers;
        proxy->servers = server;
    }
    server->holders++;
    return server;
}

void server_drop(struct proxy *proxy, struct server *server)
{
    must(server->holders > 0);
    if (--server->holders > 0)
        return;
    struct server **at = &proxy->servers;
    while (*at != server)
        at = &(*at)->next;
    *at = server->next;
    if (server->shared)
        shared_put(proxy->shared, server->shared, proxy->options.worker);
    free(server);
}

void servers_fini(struct proxy *proxy)
{
    while (proxy->servers) {
        struct server *server = proxy->servers;
        proxy->servers = server->next;
        if (server->shared)
            shared_put(proxy->shared, server->shared, proxy->options.worker);
        free(server);
    }
}
