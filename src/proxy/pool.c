/* The room as a whole, and links by number; idle ones per server as a list whose first is the last used. */
#include "proxy/pool.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/must.h"
#include "proxy/inner.h"

enum { EXCHANGES_MAX = 65535, LINKS_MAX = 1000000 };

/* ---- birth and death ---- */

static uint32_t or_else(uint32_t value, uint32_t initial)
{
    return value ? value : initial;
}

static uint32_t at_most(uint32_t value, uint32_t most)
{
    return value < most ? value : most;
}

static void options_complete(struct proxy_options *o)
{
    o->exchanges = at_most(or_else(o->exchanges, 4096), EXCHANGES_MAX);
    o->connections = or_else(o->connections, 8192);
    o->idle_per_server = or_else(o->idle_per_server, 64);
    o->idle_ms = or_else(o->idle_ms, 4000);
    o->connect_ms = or_else(o->connect_ms, 5000);
    o->send_ms = or_else(o->send_ms, 30000);
    o->tunnel_ms = or_else(o->tunnel_ms, 3600000);
    o->replay_bytes = or_else(o->replay_bytes, 32768);
    o->head_ms = or_else(o->head_ms, 60000);
    o->between_ms = or_else(o->between_ms, 60000);
    o->window_bytes = or_else(o->window_bytes, 65536);
    o->head_bytes = at_most(or_else(o->head_bytes, PARTIAL_HEAD_BYTES), PARTIAL_HEAD_BYTES);
    o->heads = or_else(o->heads, 256);
}

struct proxy *proxy_new(struct net *net, const struct proxy_options *options)
{
    struct proxy *proxy = calloc(1, sizeof *proxy);
    if (!proxy)
        return NULL;
    proxy->net = net;
    proxy->options = *options;
    options_complete(&proxy->options);
    proxy->link_free = LINK_NONE;
    if (reserve_init(&proxy->link_store, proxy->options.connections * sizeof *proxy->links, LINKS_MAX * sizeof *proxy->links) < 0
        || reserve_init(&proxy->exchange_store, proxy->options.exchanges * sizeof *proxy->exchanges, EXCHANGES_MAX * sizeof *proxy->exchanges) < 0) {
        proxy_free(proxy);
        return NULL;
    }
    proxy->shared = options->shared;
    if (!proxy->shared) {
        proxy->shared = calloc(1, shared_bytes());
        proxy->own_shared = true;
    }
    alarms_init(&proxy->alarms, net, options->user, proxy);
    proxy->chance = proxy_random(proxy);
    proxy->resolver = resolver_new(net, &proxy->alarms, options->user + 1);
    if (!proxy->resolver || !proxy->shared || proxy_terms_open(proxy, (struct slice){ "", 0 }) != 0) {
        proxy_free(proxy);
        return NULL;
    }
    proxy->links = (struct link *)proxy->link_store.at;
    proxy->exchanges = (struct exchange *)proxy->exchange_store.at;
    proxy->link_room = proxy->options.connections;
    proxy->exchange_room = proxy->options.exchanges;
    return proxy;
}

static void adapt(struct reserve *store, size_t each, uint32_t wanted, uint32_t *bound, uint32_t *room)
{
    if (wanted > *room && reserve_grow(store, wanted * each) == 0)
        *room = wanted;
    *bound = at_most(wanted, *room);
}

void proxy_adapt(struct proxy *proxy, const struct proxy_options *options)
{
    struct proxy_options o = *options;
    options_complete(&o);
    uint32_t connections = o.connections, exchanges = o.exchanges;
    o.connections = proxy->options.connections;
    o.exchanges = proxy->options.exchanges;
    o.head_bytes = proxy->options.head_bytes;
    o.heads = proxy->options.heads;
    proxy->options = o;
    adapt(&proxy->link_store, sizeof *proxy->links, connections, &proxy->options.connections, &proxy->link_room);
    adapt(&proxy->exchange_store, sizeof *proxy->exchanges, exchanges, &proxy->options.exchanges, &proxy->exchange_room);
}

void proxy_free(struct proxy *proxy)
{
    if (!proxy)
        return;
    exchanges_fini(proxy);
    partials_fini(proxy);
    resolver_free(proxy->resolver);
    if (proxy->shared)
        health_fini(proxy);
    upstreams_fini(proxy);
    servers_fini(proxy);
    names_fini(proxy);
    standings_fini(&proxy->standings);
    if (proxy->own_shared)
        free(proxy->shared);
    terms_fini(proxy);
    reserve_fini(&proxy->exchange_store);
    reserve_fini(&proxy->link_store);
    free(proxy);
}

uint64_t proxy_random(struct proxy *proxy)
{
    uint64_t random = 0;
    if (getrandom(&random, sizeof random, GRND_NONBLOCK) != sizeof random)
        random = (uint64_t)getpid() * UINT64_C(0x9e3779b97f4a7c15) ^ (uint64_t)(net_now_ms(proxy->net) * 1e3);
    return random;
}

/* ---- links ---- */

static void move(struct link *link, enum link_state to)
{
    static const uint8_t allowed[] = {
        [LINK_FREE] = 1 << LINK_CONNECTING,
        [LINK_CONNECTING] = 1 << LINK_BUSY | 1 << LINK_CLOSING,
        [LINK_BUSY] = 1 << LINK_IDLE | 1 << LINK_CLOSING,
        [LINK_IDLE] = 1 << LINK_BUSY | 1 << LINK_CLOSING,
        [LINK_CLOSING] = 1 << LINK_FREE,
    };
    must(allowed[link->state] & 1 << to);
    link->state = (uint8_t)to;
}

static uint32_t number_of(const struct proxy *proxy, const struct link *link)
{
    return (uint32_t)(link - proxy->links);
}

static struct link *link_get(struct proxy *proxy)
{
    uint32_t number = proxy->link_free;
    if (proxy->link_count >= proxy->options.connections)
        return NULL;
    if (number != LINK_NONE)
        proxy->link_free = proxy->links[number].next;
    else if (proxy->link_top < proxy->link_room)
        number = proxy->link_top++;
    else
        return NULL;
    proxy->link_count++;
    return &proxy->links[number];
}

static void link_put(struct proxy *proxy, struct link *link)
{
    link->next = proxy->link_free;
    proxy->link_free = number_of(proxy, link);
    proxy->link_count--;
}

/* An exchange of that upstream has it now. */
static void lend(struct proxy *proxy, struct link *link, struct upstream *upstream, uint32_t seat)
{
    link->upstream = upstream;
    link->seat = (uint8_t)seat;
    link->since_ms = net_now_ms(proxy->net);
    link->server->load.in_flight++;
    link->counted = upstream->seats[seat].connections_max > 0 && link->server->shared;
    if (link->counted)
        shared_use(link->server->shared, proxy->options.worker, 1);
    upstream_use(upstream);
}

/* Nobody uses it any more. */
static void give_back(struct proxy *proxy, struct link *link)
{
    link->exchange = NULL;
    if (!link->upstream)
        return;
    link->server->load.in_flight--;
    if (link->counted)
        shared_use(link->server->shared, proxy->options.worker, -1);
    upstream_drop(proxy, link->upstream);
    link->upstream = NULL;
    proxy->freed = true;
}

/* 0, -EMFILE (a bound is reached: no server's fault) or what connecting says at once. */
int link_connect(struct proxy *proxy, struct upstream *upstream, uint32_t seat, struct link **ret_link)
{
    struct server *server = upstream->seats[seat].server;
    struct link *link = link_get(proxy);
    if (!link)
        return -EMFILE;
    const struct proxy_address *address = &server->address;
    int error = conn_connect(proxy->net, (const struct sockaddr *)address->storage, address->bytes, number_of(proxy, link), &link->conn);
    if (error) {
        link_put(proxy, link);
        return error == -ENFILE ? -EMFILE : error;
    }
    proxy->facts.connects++;
    link->server = server;
    link->exchange = NULL;
    link->keep_ms = 0;
    server->holders++;
    server->links++;
    lend(proxy, link, upstream, seat);
    move(link, LINK_CONNECTING);
    *ret_link = link;
    return 0;
}

void link_connected(struct proxy *proxy, struct link *link)
{
    move(link, LINK_BUSY);
    choice_connected(proxy, link);
}

static void idle_remove(struct proxy *proxy, struct link *link)
{
    struct server *server = link->server;
    if (link->prev != LINK_NONE)
        proxy->links[link->prev].next = link->next;
    else
        server->idle_first = link->next;
    if (link->next != LINK_NONE)
        proxy->links[link->next].prev = link->prev;
    server->idle_count--;
    proxy->facts.idle--;
}

/* The one that was used last. Bytes behind the end of a response would be taken for the beginning of the next one, and a server that has ended
 * its side reads no request: such connections end here, also when nobody has told us of it yet. */
static struct link *quiet_link(struct proxy *proxy, const struct server *server)
{
    while (server->idle_first != LINK_NONE) {
        struct link *link = &proxy->links[server->idle_first];
        if (conn_is_quiet(proxy->net, link->conn))
            return link;
        link_close(proxy, link);
    }
    return NULL;
}

struct link *link_take(struct proxy *proxy, struct upstream *upstream, uint32_t seat)
{
    struct link *link = quiet_link(proxy, upstream->seats[seat].server);
    if (!link)
        return NULL;
    idle_remove(proxy, link);
    lend(proxy, link, upstream, seat);
    move(link, LINK_BUSY);
    proxy->facts.reused++;
    return link;
}

void link_keep(struct proxy *proxy, struct link *link)
{
    struct server *server = link->server;
    if (server->seats == 0 || server->idle_count >= proxy->options.idle_per_server) {
        link_close(proxy, link);
        return;
    }
    give_back(proxy, link);
    move(link, LINK_IDLE);
    link->prev = LINK_NONE;
    link->next = server->idle_first;
    if (link->next != LINK_NONE)
        proxy->links[link->next].prev = number_of(proxy, link);
    server->idle_first = number_of(proxy, link);
    server->idle_count++;
    proxy->facts.idle++;
    if (conn_is_paused(proxy->net, link->conn))
        conn_resume(proxy->net, link->conn);
    bool sooner = link->keep_ms && link->keep_ms < proxy->options.idle_ms;
    conn_deadline(proxy->net, link->conn, sooner ? link->keep_ms : proxy->options.idle_ms);
}

void link_close(struct proxy *proxy, struct link *link)
{
    if (link->state == LINK_IDLE)
        idle_remove(proxy, link);
    give_back(proxy, link);
    move(link, LINK_CLOSING);
    conn_close(proxy->net, link->conn, CLOSE_NOW);
}

void link_closed(struct proxy *proxy, struct link *link)
{
    link->server->links--;
    server_drop(proxy, link->server);
    link->server = NULL;
    move(link, LINK_FREE);
    link_put(proxy, link);
}

/* ---- facts ---- */

void proxy_facts(const struct proxy *proxy, struct proxy_facts *ret_facts)
{
    *ret_facts = proxy->facts;
    ret_facts->exchanges = proxy->exchange_count;
    ret_facts->connections = proxy->link_count;
}
