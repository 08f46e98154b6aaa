/* Changes at work: in the upstreams that are open, and in those that will be. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "proxy/inner.h"

static int entry_of(const struct upstream *upstream, const char *text)
{
    for (uint32_t i = 0; i < upstream->spec.server_count; i++)
        if (strcmp(upstream->spec.servers[i].text, text) == 0)
            return (int)i;
    return -ENOENT;
}

static bool is_gone(const struct upstream *upstream, uint32_t entry)
{
    return upstream->gone >> entry & 1;
}

/* What is said of a line holds for all its seats. */
static void use_entry(struct proxy *proxy, struct upstream *upstream, uint32_t entry)
{
    const struct spec_server *said = &upstream->spec.servers[entry];
    for (uint32_t at = 0; at < upstream->seat_count; at++) {
        struct seat *seat = &upstream->seats[at];
        if (!seat->server || seat->entry != entry)
            continue;
        if (!said->service) {
            seat->weight = said->weight;
            seat->backup = said->backup;
        }
        seat->connections_max = said->connections_max;
        if (seat->server->order && !upstream->orders[entry])
            seat->server->back_ms = net_now_ms(proxy->net);
        seat->server->order = upstream->orders[entry];
        choice_server_changed(proxy, seat->server);
    }
    upstream->reseated = true;
    choice_changed(upstream);
    proxy->freed = true; /* for those that wait */
}

static void add(struct proxy *proxy, struct upstream *upstream, const struct spec_server *server)
{
    int entry = entry_of(upstream, server->text);
    bool is_new = entry < 0;
    if (is_new && upstream->spec.server_count == SPEC_SERVERS_MAX) {
        notice(proxy, "upstream \"%s\": %s: an upstream has at most %d servers", upstream->name, server->text, SPEC_SERVERS_MAX);
        return;
    }
    if (is_new)
        entry = (int)upstream->spec.server_count++;
    uint64_t bit = UINT64_C(1) << entry;
    bool was_out = is_new || upstream->gone & bit;
    upstream->spec.servers[entry] = *server;
    if (server->connections_max == 0)
        upstream->spec.servers[entry].connections_max = upstream->spec.options.connections_max;
    upstream->orders[entry] = ORDER_NONE;
    upstream->gone &= ~bit;
    upstream->settled |= bit; /* it comes later: it begins slowly */
    if (was_out)
        upstream_sit(proxy, upstream, (uint32_t)entry);
    use_entry(proxy, upstream, (uint32_t)entry);
}

static void apply(struct proxy *proxy, struct upstream *upstream, const struct standing *standing)
{
    int entry = entry_of(upstream, standing->server.text);
    if (standing->added) {
        add(proxy, upstream, &standing->server);
        entry = entry_of(upstream, standing->server.text);
    }
    if (entry < 0)
        return;
    if (standing->removed) {
        upstream->gone |= UINT64_C(1) << entry;
        upstream_leave_entry(proxy, upstream, (uint32_t)entry);
        return;
    }
    if (standing->weight)
        upstream->spec.servers[entry].weight = standing->weight;
    upstream->orders[entry] = standing->order;
    use_entry(proxy, upstream, (uint32_t)entry);
}

void standings_apply(struct proxy *proxy, struct upstream *upstream)
{
    for (uint32_t i = 0; i < proxy->standings.count; i++)
        if (strcmp(proxy->standings.list[i].upstream, upstream->name) == 0)
            apply(proxy, upstream, &proxy->standings.list[i]);
}

/* ---- one change ---- */

static uint32_t servers_left(const struct upstream *upstream)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < upstream->spec.server_count; i++)
        count += !is_gone(upstream, i);
    return count;
}

static uint32_t put(char *out, uint32_t room, uint32_t used, const char *text, const char *comma)
{
    return used + (used < room ? (uint32_t)snprintf(out + used, room - used, "%s%s", comma, text) : 0);
}

static void name_upstreams(const struct proxy *proxy, const char *wanted, char *out, uint32_t room)
{
    uint32_t used = (uint32_t)snprintf(out, room, "no upstream is named \"%s\"", wanted), count = 0;
    for (uint32_t i = 0; i < PROXY_UPSTREAMS_MAX; i++)
        if (proxy->upstreams[i])
            used = put(out, room, used, proxy->upstreams[i]->name, count++ ? ", " : "; there are: ");
}

static void name_servers(const struct upstream *upstream, const char *wanted, char *out, uint32_t room)
{
    uint32_t used = (uint32_t)snprintf(out, room, "upstream \"%s\" has no server %s", upstream->name, wanted), count = 0;
    for (uint32_t i = 0; i < upstream->spec.server_count; i++)
        if (!is_gone(upstream, i))
            used = put(out, room, used, upstream->spec.servers[i].text, count++ ? ", " : "; it has: ");
}

/* Does it make sense for that upstream? 0, or -ENOENT, -EINVAL with a sentence. */
static int suits(const struct upstream *upstream, const struct change *change, char *out, uint32_t room)
{
    int entry = entry_of(upstream, change->server.text);
    bool is_there = entry >= 0 && !is_gone(upstream, (uint32_t)entry);
    if (change->verb == CHANGE_ADD) {
        if (is_there || servers_left(upstream) < SPEC_SERVERS_MAX)
            return 0;
        snprintf(out, room, "upstream \"%s\" has %d servers already: no more can be added", upstream->name, SPEC_SERVERS_MAX);
        return -EINVAL;
    }
    if (!is_there) {
        name_servers(upstream, change->server.text, out, room);
        return -ENOENT;
    }
    if (change->verb != CHANGE_REMOVE || servers_left(upstream) > 1)
        return 0;
    snprintf(out, room, "%s is the last server of upstream \"%s\": add another one first", change->server.text, upstream->name);
    return -EINVAL;
}

static int find_and_judge(const struct proxy *proxy, const struct change *change, char *out, uint32_t room)
{
    bool found = false;
    for (const struct upstream *upstream = proxy->all; upstream; upstream = upstream->next) {
        if (!upstream->opens || strcmp(upstream->name, change->upstream) != 0)
            continue;
        int error = suits(upstream, change, out, room);
        if (!error)
            return 0; /* another generation may have it no more, or not yet */
        found = true;
    }
    if (!found)
        name_upstreams(proxy, change->upstream, out, room);
    return -ENOENT;
}

/* An order, a weight or a removal is undone for the views, too, when nothing stands of it any more. */
static void undo(struct proxy *proxy, struct upstream *upstream, const struct change *change)
{
    int entry = entry_of(upstream, change->server.text);
    if (entry < 0 || change->verb != CHANGE_UP)
        return;
    upstream->orders[entry] = ORDER_NONE;
    for (uint32_t at = 0; at < upstream->seat_count; at++) {
        struct seat *seat = &upstream->seats[at];
        if (seat->server && seat->entry == (uint32_t)entry)
            seat->server->ejection = (struct ejection){ 0 };
    }
    use_entry(proxy, upstream, (uint32_t)entry);
}

int proxy_change(struct proxy *proxy, struct slice line, int blindly, char *ret_message, uint32_t message_bytes)
{
    struct change change;
    int error = change_read(&change, line, ret_message, message_bytes);
    if (!error && !blindly)
        error = find_and_judge(proxy, &change, ret_message, message_bytes);
    if (error)
        return error;
    error = standings_merge(&proxy->standings, &change);
    if (error) {
        snprintf(ret_message, message_bytes, "too many servers were changed at run time: write some of it into the config");
        return error;
    }
    for (struct upstream *upstream = proxy->all; upstream; upstream = upstream->next) {
        if (!upstream->opens || strcmp(upstream->name, change.upstream) != 0)
            continue;
        undo(proxy, upstream, &change);
        standings_apply(proxy, upstream);
    }
    health_follow(proxy);
    return 0;
}
