/* Upstreams by handle, links by number, idle links per server as a list whose first is the last used. */
#include "proxy/pool.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
    if (proxy_terms_open(proxy, (struct slice){ "", 0 }) != 0) {
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
    adapt(&proxy->link_store, sizeof *proxy->links, o.connections, &proxy->options.connections, &proxy->link_room);
    adapt(&proxy->exchange_store, sizeof *proxy->exchanges, o.exchanges, &proxy->options.exchanges, &proxy->exchange_room);
    proxy->options.window_bytes = o.window_bytes;
}

void proxy_free(struct proxy *proxy)
{
    if (!proxy)
        return;
    exchanges_fini(proxy);
    partials_fini(proxy);
    pool_fini(proxy);
    terms_fini(proxy);
    reserve_fini(&proxy->exchange_store);
    reserve_fini(&proxy->link_store);
    free(proxy);
}

void pool_fini(struct proxy *proxy)
{
    for (uint32_t i = 0; proxy->links && i < proxy->link_top; i++)
        if (proxy->links[i].state != LINK_FREE)
            upstream_drop(proxy->links[i].upstream);
    for (uint32_t i = 0; i < PROXY_UPSTREAMS_MAX; i++)
        free(proxy->upstreams[i]);
}

/* ---- server lists ---- */

struct text {
    const char *at, *end;
};

static struct slice next_line(struct text *text)
{
    const char *from = text->at;
    const char *to = memchr(from, '\n', (size_t)(text->end - from));
    text->at = to ? to + 1 : text->end;
    return (struct slice){ from, (uint32_t)((to ? to : text->end) - from) };
}

/* Takes the weight off the end of a line: 1 when there is none, 0 when it is not one. */
static int32_t line_weight(struct slice *line)
{
    const char *space = memchr(line->at, ' ', line->bytes);
    if (!space)
        return 1;
    int32_t weight = 0;
    const char *end = line->at + line->bytes;
    for (const char *at = space + 1; at < end; at++) {
        if (*at < '0' || *at > '9' || weight > BALANCE_WEIGHT_MAX)
            return 0;
        weight = weight * 10 + (*at - '0');
    }
    line->bytes = (uint32_t)(space - line->at);
    return weight <= BALANCE_WEIGHT_MAX ? weight : 0;
}

static int add_line(struct upstream *upstream, struct slice line, char *ret_message, uint32_t room)
{
    struct proxy_address found[ADDRESS_PER_NAME];
    char why[256];
    struct slice address = line;
    int32_t weight = line_weight(&address);
    int count = -EINVAL;
    if (weight)
        count = address_resolve(address.at, address.bytes, found, ADDRESS_PER_NAME, why, sizeof why);
    else
        snprintf(why, sizeof why, "a weight is a number from 1 to %d", BALANCE_WEIGHT_MAX);
    if (count >= 0 && upstream->server_count + (uint32_t)count > PROXY_SERVERS_MAX) {
        count = -EINVAL;
        snprintf(why, sizeof why, "an upstream has at most %d servers, counting every address of a name", PROXY_SERVERS_MAX);
    }
    if (count < 0) {
        if (!weight)
            address = line;
        bool named = strlen(upstream->name) == address.bytes && memcmp(upstream->name, address.at, address.bytes) == 0;
        if (named)
            snprintf(ret_message, room, "upstream \"%s\": %s", upstream->name, why);
        else
            snprintf(ret_message, room, "upstream \"%s\": server \"%.*s\": %s", upstream->name, (int)address.bytes, address.at, why);
        return count;
    }
    for (int i = 0; i < count; i++) {
        uint32_t server = upstream->server_count++;
        upstream->servers[server] = (struct server){ .address = found[i], .idle_first = LINK_NONE };
        upstream->balance[server] = (struct balance){ .weight = weight };
    }
    return 0;
}

static int add_servers(struct upstream *upstream, struct slice servers, char *ret_message, uint32_t room)
{
    struct text text = { servers.at, servers.at + servers.bytes };
    while (text.at < text.end) {
        struct slice line = next_line(&text);
        int error = line.bytes ? add_line(upstream, line, ret_message, room) : 0;
        if (error)
            return error;
    }
    if (upstream->server_count)
        return 0;
    snprintf(ret_message, room, "upstream \"%s\": expected at least one server", upstream->name);
    return -EINVAL;
}

/* ---- upstreams ---- */

struct upstream *upstream_of(const struct proxy *proxy, int handle)
{
    if (handle < 0 || handle >= PROXY_UPSTREAMS_MAX)
        return NULL;
    return proxy->upstreams[handle];
}

void upstream_use(struct upstream *upstream)
{
    upstream->users++;
}

void upstream_drop(struct upstream *upstream)
{
    must(upstream->users > 0);
    if (--upstream->users == 0 && upstream->opens == 0)
        free(upstream);
}

static int is_same(const struct upstream *a, const struct upstream *b)
{
    if (strcmp(a->name, b->name) != 0 || a->server_count != b->server_count)
        return 0;
    for (uint32_t i = 0; i < a->server_count; i++) {
        const struct proxy_address *x = &a->servers[i].address, *y = &b->servers[i].address;
        if (a->balance[i].weight != b->balance[i].weight || x->bytes != y->bytes || memcmp(x->storage, y->storage, x->bytes) != 0)
            return 0;
    }
    return 1;
}

/* The handle of an equal one, of a free place, or -ENOSPC. */
static int find_place(const struct proxy *proxy, const struct upstream *wanted)
{
    int place = -ENOSPC;
    for (int i = 0; i < PROXY_UPSTREAMS_MAX; i++) {
        if (proxy->upstreams[i] && is_same(proxy->upstreams[i], wanted))
            return i;
        if (!proxy->upstreams[i] && place < 0)
            place = i;
    }
    return place;
}

static int upstream_place(struct proxy *proxy, struct upstream *made, char *ret_message, uint32_t room)
{
    int place = find_place(proxy, made);
    if (place < 0) {
        snprintf(ret_message, room, "upstream \"%s\": there are %d upstreams already", made->name, PROXY_UPSTREAMS_MAX);
    } else if (proxy->upstreams[place]) {
        proxy->upstreams[place]->opens++;
    } else {
        made->opens = 1;
        proxy->upstreams[place] = made;
        proxy->facts.upstreams++;
        return place;
    }
    free(made);
    return place;
}

int proxy_upstream_open(struct proxy *proxy, struct slice name, struct slice servers, char *ret_message, uint32_t message_bytes)
{
    struct upstream *made = calloc(1, sizeof *made);
    if (!made) {
        snprintf(ret_message, message_bytes, "not enough memory for an upstream");
        return -ENOMEM;
    }
    memcpy(made->name, name.at, at_most(name.bytes, PROXY_NAME_BYTES));
    int error = add_servers(made, servers, ret_message, message_bytes);
    if (!error)
        return upstream_place(proxy, made, ret_message, message_bytes);
    free(made);
    return error;
}

void proxy_upstream_close(struct proxy *proxy, int handle)
{
    struct upstream *upstream = upstream_of(proxy, handle);
    if (!upstream || upstream->opens > 1) {
        if (upstream)
            upstream->opens--;
        return;
    }
    proxy->upstreams[handle] = NULL;
    proxy->facts.upstreams--;
    upstream_use(upstream); /* until its links are closed */
    upstream->opens = 0;
    for (uint32_t i = 0; i < upstream->server_count; i++)
        while (upstream->servers[i].idle_first != LINK_NONE)
            link_close(proxy, &proxy->links[upstream->servers[i].idle_first]);
    upstream_drop(upstream);
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

static struct server *server_of(const struct link *link)
{
    return &link->upstream->servers[link->server];
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

/* 0, -EMFILE (a bound is reached: no server's fault) or what connecting says at once. */
int link_connect(struct proxy *proxy, struct upstream *upstream, uint32_t server, struct link **ret_link)
{
    struct link *link = link_get(proxy);
    if (!link)
        return -EMFILE;
    const struct proxy_address *address = &upstream->servers[server].address;
    int error = conn_connect(proxy->net, (const struct sockaddr *)address->storage, address->bytes, number_of(proxy, link), &link->conn);
    if (error) {
        link_put(proxy, link);
        return error == -ENFILE ? -EMFILE : error;
    }
    proxy->facts.connects++;
    link->upstream = upstream;
    link->server = server;
    link->exchange = NULL;
    upstream_use(upstream);
    upstream->servers[server].links++;
    move(link, LINK_CONNECTING);
    *ret_link = link;
    return 0;
}

void link_connected(struct link *link)
{
    move(link, LINK_BUSY);
    balance_ok(&link->upstream->balance[link->server]);
}

static void idle_remove(struct proxy *proxy, struct link *link)
{
    struct server *server = server_of(link);
    if (link->prev != LINK_NONE)
        proxy->links[link->prev].next = link->next;
    else
        server->idle_first = link->next;
    if (link->next != LINK_NONE)
        proxy->links[link->next].prev = link->prev;
    server->idle_count--;
    proxy->facts.idle--;
}

struct link *link_take(struct proxy *proxy, struct upstream *upstream, uint32_t server)
{
    uint32_t first = upstream->servers[server].idle_first;
    if (first == LINK_NONE)
        return NULL;
    struct link *link = &proxy->links[first];
    idle_remove(proxy, link);
    move(link, LINK_BUSY);
    proxy->facts.reused++;
    return link;
}

void link_keep(struct proxy *proxy, struct link *link)
{
    struct server *server = server_of(link);
    link->exchange = NULL;
    if (link->upstream->opens == 0 || server->idle_count >= proxy->options.idle_per_server) {
        link_close(proxy, link);
        return;
    }
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
    conn_deadline(proxy->net, link->conn, proxy->options.idle_ms);
}

void link_close(struct proxy *proxy, struct link *link)
{
    if (link->state == LINK_IDLE)
        idle_remove(proxy, link);
    link->exchange = NULL;
    move(link, LINK_CLOSING);
    conn_close(proxy->net, link->conn, CLOSE_NOW);
}

void link_closed(struct proxy *proxy, struct link *link)
{
    server_of(link)->links--;
    upstream_drop(link->upstream);
    link->upstream = NULL;
    move(link, LINK_FREE);
    link_put(proxy, link);
}

/* ---- facts ---- */

int proxy_server_facts(const struct proxy *proxy, int handle, uint32_t index, struct proxy_server_facts *ret_facts)
{
    const struct upstream *upstream = upstream_of(proxy, handle);
    if (!upstream || index >= upstream->server_count)
        return -ENOENT;
    const struct server *server = &upstream->servers[index];
    const struct balance *balance = &upstream->balance[index];
    *ret_facts = (struct proxy_server_facts){
        .label = { server->address.label, (uint32_t)strlen(server->address.label) },
        .weight = (uint32_t)balance->weight,
        .connections = server->links,
        .idle = server->idle_count,
        .failures = balance->failures,
        .down_until_ms = balance->down_until_ms,
    };
    return 0;
}

int proxy_server_next(const struct proxy *proxy, int handle, uint32_t at)
{
    uint32_t order[PROXY_SERVERS_MAX];
    const struct upstream *upstream = upstream_of(proxy, handle);
    if (!upstream || at >= upstream->server_count)
        return -ENOENT;
    balance_order(upstream->balance, upstream->server_count, net_now_ms(proxy->net), order);
    return (int)order[at];
}

void proxy_facts(const struct proxy *proxy, struct proxy_facts *ret_facts)
{
    *ret_facts = proxy->facts;
    ret_facts->exchanges = proxy->exchange_count;
    ret_facts->connections = proxy->link_count;
}
