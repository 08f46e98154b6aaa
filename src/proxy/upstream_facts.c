/* What can be said of upstreams and servers. */
#include <errno.h>
#include <string.h>

#include "proxy/inner.h"

static struct slice text_of(const char *text)
{
    return (struct slice){ text, (uint32_t)strlen(text) };
}

static uint32_t state_of(const struct server *server, double now_ms)
{
    uint32_t health = server->shared ? server->shared->health : HEALTH_UNKNOWN;
    if (server->order)
        return server->order == ORDER_DOWN ? SERVER_DOWN : SERVER_DRAINING;
    if (health == HEALTH_UNREACHABLE)
        return SERVER_UNREACHABLE;
    if (health == HEALTH_DOWN)
        return SERVER_UNWELL;
    return ejection_is_out(&server->ejection, now_ms) ? SERVER_ASIDE : SERVER_USED;
}

int proxy_server_facts(const struct proxy *proxy, int handle, uint32_t index, struct proxy_server_facts *ret_facts)
{
    const struct upstream *upstream = upstream_of(proxy, handle);
    if (!upstream || index >= upstream->seat_count || !upstream->seats[index].server)
        return -ENOENT;
    const struct seat *seat = &upstream->seats[index];
    const struct server *server = seat->server;
    *ret_facts = (struct proxy_server_facts){
        .label = text_of(server->address.label),
        .text = text_of(upstream->spec.servers[seat->entry].text),
        .state = state_of(server, net_now_ms(proxy->net)),
        .health = server->shared ? server->shared->health : HEALTH_UNKNOWN,
        .why = text_of(server->shared ? server->shared->why : ""),
        .weight = seat->weight,
        .backup = seat->backup,
        .connections_max = seat->connections_max,
        .connections = server->links,
        .idle = server->idle_count,
        .in_flight = server->load.in_flight,
        .failures = server->ejection.connects,
        .down_until_ms = server->ejection.until_ms,
        .latency_ms = (double)server->load.latency_ms,
        .requests = (double)server->requests,
        .failed = (double)server->failures,
        .refused = (double)server->refused,
    };
    return 0;
}

int proxy_upstream_facts(const struct proxy *proxy, int handle, struct proxy_upstream_facts *ret_facts)
{
    const struct upstream *upstream = upstream_of(proxy, handle);
    if (!upstream)
        return -ENOENT;
    *ret_facts = (struct proxy_upstream_facts){
        .servers = upstream->seat_count,
        .running = upstream->running,
        .requests_max = upstream->spec.options.requests_max,
        .waiting = upstream->waiting.count,
        .queue_max = upstream->spec.options.queue_max,
    };
    return 0;
}

int proxy_upstream_line(const struct proxy *proxy, int handle, uint32_t line, struct slice *ret_text, struct slice *ret_why)
{
    const struct upstream *upstream = upstream_of(proxy, handle);
    if (!upstream || line >= upstream->spec.server_count)
        return -ENOENT;
    const struct name *name = upstream->names[line];
    *ret_text = text_of(upstream->spec.servers[line].text);
    *ret_why = text_of(upstream->gone >> line & 1 ? "removed" : name && !name->tried ? "its name is being asked for" : name ? name->why : "");
    for (uint32_t at = 0; at < upstream->seat_count; at++)
        if (upstream->seats[at].server && upstream->seats[at].entry == line)
            return 1;
    return 0;
}

int proxy_server_next(struct proxy *proxy, int handle, uint32_t at, const struct proxy_request *request)
{
    uint32_t order[BALANCE_SEATS_MAX];
    struct upstream *upstream = upstream_of(proxy, handle);
    if (!upstream)
        return -ENOENT;
    uint32_t count = choice_order(proxy, upstream, request ? upstream_key(upstream, request) : 0, order);
    return at < count ? (int)order[at] : -ENOENT;
}
