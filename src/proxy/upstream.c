/* Upstreams by handle: a spec becomes seats, and seats hold servers. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/must.h"
#include "proxy/inner.h"

/* ---- lives ---- */

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

static void leave(struct proxy *proxy, struct upstream *upstream);

static void upstream_free(struct proxy *proxy, struct upstream *upstream)
{
    struct upstream **at = &proxy->all;
    while (*at && *at != upstream)
        at = &(*at)->next;
    if (*at)
        *at = upstream->next;
    leave(proxy, upstream);
    balance_fini(&upstream->balance);
    free(upstream->lines);
    free(upstream);
}

void upstream_drop(struct proxy *proxy, struct upstream *upstream)
{
    must(upstream->users > 0);
    if (--upstream->users == 0 && upstream->opens == 0)
        upstream_free(proxy, upstream);
}

/* Before the servers and names, which are freed whoever holds them. */
void upstreams_fini(struct proxy *proxy)
{
    while (proxy->all) {
        struct upstream *upstream = proxy->all;
        proxy->all = upstream->next;
        balance_fini(&upstream->balance);
        free(upstream->lines);
        free(upstream);
    }
}

const char *upstream_label(const struct upstream *upstream, uint32_t seat)
{
    const struct server *server = seat < upstream->seat_count ? upstream->seats[seat].server : NULL;
    return server ? server->address.label : upstream->spec.server_count ? upstream->spec.servers[0].text : "no server";
}

struct slice upstream_host(const struct upstream *upstream)
{
    const char *text = upstream->spec.servers[0].text;
    if (strncmp(text, "unix:", 5) == 0)
        return (struct slice){ "localhost", 9 };
    return (struct slice){ text, (uint32_t)strlen(text) };
}

static bool is(const char *text, struct slice word)
{
    return strlen(text) == word.bytes && memcmp(text, word.at, word.bytes) == 0;
}

int upstream_seat(const struct upstream *upstream, struct slice server)
{
    for (uint32_t at = 0; server.bytes && at < upstream->seat_count; at++) {
        const struct seat *seat = &upstream->seats[at];
        if (seat->server && (is(seat->server->address.label, server) || is(upstream->spec.servers[seat->entry].text, server)))
            return (int)at;
    }
    return -1;
}

/* ---- seats ---- */

static int seat_find(const struct upstream *upstream, const struct server *server)
{
    for (uint32_t i = 0; i < upstream->seat_count; i++)
        if (upstream->seats[i].server == server)
            return (int)i;
    return -ENOENT;
}

static int seat_free(struct upstream *upstream)
{
    for (uint32_t i = 0; i < upstream->seat_count; i++)
        if (!upstream->seats[i].server)
            return (int)i;
    return upstream->seat_count < PROXY_SERVERS_MAX ? (int)upstream->seat_count++ : -ENOSPC;
}

int seat_add(struct proxy *proxy, struct upstream *upstream, uint32_t entry, const struct proxy_address *address)
{
    struct server *server = server_get(proxy, upstream->name, address);
    if (!server)
        return -ENOMEM;
    int at = seat_find(upstream, server);
    if (at < 0)
        at = seat_free(upstream);
    if (at < 0 || upstream->seats[at].server == server) {
        server_drop(proxy, server);
        return at;
    }
    const struct spec_server *said = &upstream->spec.servers[entry];
    upstream->seats[at] = (struct seat){ .server = server, .entry = (uint8_t)entry, .backup = said->backup, .weight = said->weight,
                                         .connections_max = said->connections_max };
    if (upstream->settled >> entry & 1)
        upstream->seats[at].joined_ms = net_now_ms(proxy->net);
    upstream->balance.seats[at] = (struct balance_seat){ .load = &server->load, .name = server->name };
    if (upstream->opens)
        server->seats++;
    server->order = upstream->orders[entry];
    upstream->reseated = true;
    choice_changed(upstream);
    return at;
}

/* The server is not kept for this upstream any more: nor are its connections, if it was the last. */
static void abandon(struct proxy *proxy, struct server *server)
{
    if (--server->seats == 0)
        while (server->idle_first != LINK_NONE)
            link_close(proxy, &proxy->links[server->idle_first]);
}

void seat_remove(struct proxy *proxy, struct upstream *upstream, uint32_t at)
{
    struct server *server = upstream->seats[at].server;
    upstream->seats[at] = (struct seat){ 0 };
    upstream->balance.seats[at] = (struct balance_seat){ 0 };
    upstream->reseated = true;
    choice_changed(upstream);
    if (upstream->opens)
        abandon(proxy, server);
    server_drop(proxy, server);
}

/* ---- names ---- */

/* Weights of a service go up to 65535, and 0 is one, too; they are brought into our bounds with their proportions. */
static void rank(struct seat *seat, const struct spec_server *said, const struct name *name, const struct resolved *one)
{
    uint32_t heaviest = BALANCE_WEIGHT_MAX;
    uint16_t first = UINT16_MAX;
    for (uint32_t i = 0; i < name->count; i++) {
        if (name->list[i].weight > heaviest)
            heaviest = name->list[i].weight;
        if (name->list[i].priority < first)
            first = name->list[i].priority;
    }
    uint32_t weight = one->weight * BALANCE_WEIGHT_MAX / heaviest;
    seat->weight = (uint16_t)(weight ? weight : 1);
    seat->backup = said->backup || one->priority > first;
}

static uint16_t port_of(const struct spec_server *said)
{
    const char *colon = strrchr(said->text, ':');
    return (uint16_t)(colon ? atoi(colon + 1) : 0); /* its form was checked */
}

/* The seats of a line are those of its name's addresses. */
static void follow(struct proxy *proxy, struct upstream *upstream, uint32_t entry)
{
    const struct name *name = upstream->names[entry];
    const struct spec_server *said = &upstream->spec.servers[entry];
    uint64_t stay = 0;
    for (uint32_t i = 0; i < name->count; i++) {
        struct proxy_address address;
        const struct resolved *one = &name->list[i];
        address_of_name(said->text, one->family, one->raw, name->is_service ? one->port : port_of(said), &address);
        int at = seat_add(proxy, upstream, entry, &address);
        if (at < 0) {
            notice(proxy, "upstream \"%s\": %s: an upstream has at most %d servers: the further ones are left out", upstream->name, said->text,
                   PROXY_SERVERS_MAX);
            break;
        }
        if (name->is_service)
            rank(&upstream->seats[at], said, name, one);
        stay |= UINT64_C(1) << at;
    }
    for (uint32_t at = 0; at < upstream->seat_count; at++)
        if (upstream->seats[at].server && upstream->seats[at].entry == entry && !(stay >> at & 1))
            seat_remove(proxy, upstream, at);
    if (name->count)
        upstream->settled |= UINT64_C(1) << entry;
}

void upstream_follow(struct proxy *proxy, struct upstream *upstream, const struct name *name)
{
    for (uint32_t i = 0; i < upstream->spec.server_count; i++)
        if (upstream->names[i] == name)
            follow(proxy, upstream, i);
}

bool upstream_is_pending(const struct upstream *upstream)
{
    for (uint32_t i = 0; i < upstream->spec.server_count; i++)
        if (upstream->names[i] && !upstream->names[i]->tried)
            return true;
    return false;
}

const char *upstream_lack(const struct upstream *upstream)
{
    for (uint32_t at = 0; at < upstream->seat_count; at++)
        if (upstream->seats[at].server)
            return "all are out of service";
    return upstream->spec.server_count ? "the name of none of them can be found" : "there is none";
}

int upstream_sit(struct proxy *proxy, struct upstream *upstream, uint32_t entry)
{
    char why[128];
    struct proxy_address address;
    struct address_name name;
    const struct spec_server *server = &upstream->spec.servers[entry];
    int kind = address_read(server->text, (uint32_t)strlen(server->text), server->service, &address, &name, why, sizeof why);
    if (kind == PLACE_SOCKET) {
        int at = seat_add(proxy, upstream, entry, &address);
        upstream->settled |= UINT64_C(1) << entry;
        return at < 0 ? at : 0;
    }
    upstream->names[entry] = name_get(proxy, name.host, server->service, &upstream->spec.options);
    if (!upstream->names[entry])
        return -ENOMEM;
    follow(proxy, upstream, entry);
    return 0;
}

static int fill(struct proxy *proxy, struct upstream *upstream)
{
    upstream->balance.kind = upstream->spec.options.kind;
    upstream->balance.chance = proxy_random(proxy);
    for (uint32_t i = 0; i < upstream->spec.server_count; i++) {
        int error = upstream_sit(proxy, upstream, i);
        if (error)
            return error;
    }
    standings_apply(proxy, upstream);
    return 0;
}

void upstream_leave_entry(struct proxy *proxy, struct upstream *upstream, uint32_t entry)
{
    for (uint32_t at = 0; at < upstream->seat_count; at++)
        if (upstream->seats[at].server && upstream->seats[at].entry == entry)
            seat_remove(proxy, upstream, at);
    if (upstream->names[entry])
        name_drop(proxy, upstream->names[entry]);
    upstream->names[entry] = NULL;
}

static void leave(struct proxy *proxy, struct upstream *upstream)
{
    for (uint32_t i = 0; i < upstream->seat_count; i++)
        if (upstream->seats[i].server)
            seat_remove(proxy, upstream, i);
    for (uint32_t i = 0; i < upstream->spec.server_count; i++)
        if (upstream->names[i])
            name_drop(proxy, upstream->names[i]);
    memset(upstream->names, 0, sizeof upstream->names);
}

/* ---- opening ---- */

/* The handle of an equal one, of a free place, or -ENOSPC. */
static int find_place(const struct proxy *proxy, const char *name, struct slice lines)
{
    int place = -ENOSPC;
    for (int i = 0; i < PROXY_UPSTREAMS_MAX; i++) {
        const struct upstream *other = proxy->upstreams[i];
        if (other && strcmp(other->name, name) == 0 && strlen(other->lines) == lines.bytes && memcmp(other->lines, lines.at, lines.bytes) == 0)
            return i;
        if (!other && place < 0)
            place = i;
    }
    return place;
}

static int refuse(int error, const char *name, const char *why, char *ret_message, uint32_t room)
{
    snprintf(ret_message, room, "upstream \"%s\": %s", name, why);
    return error;
}

static int upstream_new(struct proxy *proxy, const char *name, struct slice lines, struct upstream **ret, char *ret_message, uint32_t room)
{
    char why[384] = "not enough memory";
    struct upstream *made = calloc(1, sizeof *made);
    int error = made && (made->lines = strndup(lines.at, lines.bytes)) ? 0 : -ENOMEM;
    if (!error)
        error = spec_read(&made->spec, lines, why, sizeof why);
    if (!error && made->spec.server_count == 0) {
        snprintf(why, sizeof why, "expected at least one server");
        error = -EINVAL;
    }
    if (!error) {
        strcpy(made->name, name);
        made->opens = 1;
        made->next = proxy->all;
        proxy->all = made;
        error = fill(proxy, made);
    }
    if (!error) {
        *ret = made;
        return 0;
    }
    if (made)
        upstream_free(proxy, made);
    return refuse(error, name, why, ret_message, room);
}

int proxy_upstream_open(struct proxy *proxy, struct slice name, struct slice lines, char *ret_message, uint32_t message_bytes)
{
    char text[PROXY_NAME_BYTES + 1] = "";
    memcpy(text, name.at, name.bytes < PROXY_NAME_BYTES ? name.bytes : PROXY_NAME_BYTES);
    int place = find_place(proxy, text, lines);
    if (place < 0) {
        snprintf(ret_message, message_bytes, "upstream \"%s\": there are %d upstreams already", text, PROXY_UPSTREAMS_MAX);
        return place;
    }
    if (proxy->upstreams[place]) {
        proxy->upstreams[place]->opens++;
        return place;
    }
    int error = upstream_new(proxy, text, lines, &proxy->upstreams[place], ret_message, message_bytes);
    if (error)
        return error;
    proxy->facts.upstreams++;
    health_follow(proxy);
    return place;
}

/* Exchanges that have it go on, and may still choose among its servers; nothing is kept for it. */
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
    for (uint32_t i = 0; i < upstream->seat_count; i++)
        if (upstream->seats[i].server)
            abandon(proxy, upstream->seats[i].server);
    upstream_drop(proxy, upstream);
    health_follow(proxy);
}
