/* Which server an exchange is sent to, and what is learnt of it there. What depends on health, orders and time is worked out when one of
 * them has changed, not for each request. */
#include <errno.h>
#include <math.h>

#include "proxy/inner.h"

enum { SLOW_STEPS = 20, SLOW_LEAST = 10 /* percent of the weight that a server begins with */ };

void choice_changed(struct upstream *upstream)
{
    upstream->stale = true;
}

void choice_server_changed(struct proxy *proxy, const struct server *server)
{
    for (struct upstream *upstream = proxy->all; upstream; upstream = upstream->next)
        for (uint32_t at = 0; at < upstream->seat_count; at++)
            if (upstream->seats[at].server == server)
                choice_changed(upstream);
}

/* ---- who may be used ---- */

/* Sets of seats of one kind, primary or backup. */
struct tier {
    uint64_t known;   /* nobody has taken them out */
    uint64_t healthy; /* and nothing is known against them */
    uint64_t hard;    /* they cannot be connected to */
};

static void earlier(double *due_ms, double at_ms)
{
    if (at_ms < *due_ms)
        *due_ms = at_ms;
}

/* The weight in use: less than written while the server begins slowly. */
static uint32_t weight_of(const struct upstream *upstream, const struct seat *seat, double now_ms, double *due_ms)
{
    const struct server *server = seat->server;
    double slow_ms = upstream->spec.options.slow_start_ms, since = server->back_ms > seat->joined_ms ? server->back_ms : seat->joined_ms;
    double until = server->ejection.until_ms;
    if (server->shared && server->shared->back_ms > since)
        since = server->shared->back_ms;
    uint32_t whole = seat->weight * BALANCE_SCALE;
    if (until <= now_ms && until > since)
        since = until; /* the end of its time aside */
    if (since <= 0 || slow_ms <= 0 || now_ms - since >= slow_ms)
        return whole;
    double share = (now_ms - since) / slow_ms;
    earlier(due_ms, now_ms + slow_ms / SLOW_STEPS);
    return (uint32_t)(whole * (share * 100 < SLOW_LEAST ? SLOW_LEAST / 100.0 : share));
}

/* A check that found it well ends what was thought of it before. */
static void trust_check(struct server *server)
{
    const struct shared_server *shared = server->shared;
    if (shared->health != HEALTH_UP || shared->since_ms <= server->ejection.since_ms || !server->ejection.hard)
        return;
    server->ejection = (struct ejection){ .since_ms = shared->since_ms };
    server->back_ms = shared->since_ms;
}

static void judge(struct server *server, uint64_t bit, double now_ms, struct tier *tier, double *due_ms)
{
    if (server->order == ORDER_DOWN || server->order == ORDER_DRAIN)
        return;
    tier->known |= bit;
    if (server->shared) {
        trust_check(server);
        if (server->shared->health == HEALTH_UNREACHABLE)
            tier->hard |= bit;
        if (server->shared->health >= HEALTH_DOWN)
            return;
    }
    if (ejection_is_out(&server->ejection, now_ms)) {
        earlier(due_ms, server->ejection.until_ms);
        if (server->ejection.hard)
            tier->hard |= bit;
        return;
    }
    tier->healthy |= bit;
}

static int count_of(uint64_t set)
{
    return __builtin_popcountll(set);
}

/* The healthy ones; when those are too few to bear what comes, all that can be connected to. */
static uint64_t usable_of(const struct tier *tier, uint32_t panic_percent)
{
    if (count_of(tier->healthy) * 100 >= (int)panic_percent * count_of(tier->known))
        return tier->healthy;
    return tier->healthy | (tier->known & ~tier->hard);
}

/* The keys' table goes by the weights as they are written, whoever is out: it stays as it is while servers come and go for a while. */
static void place(struct upstream *upstream)
{
    if (upstream->balance.kind != BALANCE_HASH || !upstream->reseated)
        return;
    for (uint32_t at = 0; at < upstream->seat_count; at++)
        if (upstream->seats[at].server)
            upstream->balance.seats[at].weight = upstream->seats[at].weight * BALANCE_SCALE;
    upstream->reseated = balance_place(&upstream->balance) != 0;
}

static void refresh(struct upstream *upstream, double now_ms)
{
    struct tier tiers[2] = { { 0 } };
    struct balance *balance = &upstream->balance;
    place(upstream);
    upstream->due_ms = INFINITY;
    upstream->limited = upstream->stale = false;
    for (uint32_t at = 0; at < upstream->seat_count; at++) {
        const struct seat *seat = &upstream->seats[at];
        if (!seat->server)
            continue;
        balance->seats[at].weight = weight_of(upstream, seat, now_ms, &upstream->due_ms);
        upstream->limited |= seat->connections_max > 0;
        judge(seat->server, UINT64_C(1) << at, now_ms, &tiers[seat->backup != 0], &upstream->due_ms);
    }
    uint64_t first = tiers[0].healthy ? usable_of(&tiers[0], upstream->spec.options.panic_percent) : 0;
    uint64_t soft = (tiers[0].known & ~tiers[0].hard) | (tiers[1].known & ~tiers[1].hard);
    balance->spare = tiers[0].known | tiers[1].known;
    balance->healthy = tiers[0].healthy | tiers[1].healthy;
    balance->usable = first ? first : tiers[1].healthy ? tiers[1].healthy : soft ? soft : balance->spare;
    balance_prepare(balance);
}

static void refresh_when_due(const struct proxy *proxy, struct upstream *upstream, double now_ms)
{
    uint32_t version = __atomic_load_n(&proxy->shared->version, __ATOMIC_ACQUIRE);
    if (!upstream->stale && now_ms < upstream->due_ms && upstream->health_seen == version)
        return;
    upstream->health_seen = version;
    refresh(upstream, now_ms);
}

/* ---- picking ---- */

/* By all workers together. */
static uint32_t in_use(const struct server *server)
{
    return server->shared ? shared_in_use(server->shared) : server->load.in_flight;
}

/* Seats whose servers have as many connections in use as they may. */
static uint64_t seats_full(const struct upstream *upstream)
{
    uint64_t full = 0;
    for (uint32_t at = 0; at < upstream->seat_count; at++) {
        const struct seat *seat = &upstream->seats[at];
        if (seat->server && seat->connections_max && in_use(seat->server) >= seat->connections_max)
            full |= UINT64_C(1) << at;
    }
    return full;
}

static int wanted(const struct upstream *upstream, uint64_t out, uint64_t full, int seat, double now_ms)
{
    uint64_t bit = UINT64_C(1) << seat;
    const struct server *server = (uint32_t)seat < upstream->seat_count ? upstream->seats[seat].server : NULL;
    if (!server || out & bit || server->order == ORDER_DOWN || ejection_is_out(&server->ejection, now_ms) ||
        (server->shared && server->shared->health >= HEALTH_DOWN))
        return -ENOENT;
    return full & bit ? -EAGAIN : seat;
}

/* There are seats to go to, and all of them are full. */
static bool is_full(const struct upstream *upstream, uint64_t out, uint64_t full)
{
    uint64_t left = upstream->balance.usable & ~out;
    return full && left && !(left & ~full);
}

bool choice_must_wait(struct proxy *proxy, struct upstream *upstream, uint64_t out)
{
    refresh_when_due(proxy, upstream, net_now_ms(proxy->net));
    if (!upstream->balance.spare)
        return upstream_is_pending(upstream);
    return upstream->limited && is_full(upstream, out, seats_full(upstream));
}

int choice_pick(struct proxy *proxy, struct upstream *upstream, uint64_t out, uint64_t key, int seat)
{
    double now_ms = net_now_ms(proxy->net);
    refresh_when_due(proxy, upstream, now_ms);
    if (!upstream->balance.spare && upstream_is_pending(upstream))
        return -EAGAIN; /* they will be known in a moment */
    uint64_t full = upstream->limited ? seats_full(upstream) : 0;
    int picked = seat >= 0 ? wanted(upstream, out, full, seat, now_ms) : -ENOENT;
    if (picked == -ENOENT) {
        if (is_full(upstream, out, full))
            return -EAGAIN;
        picked = balance_pick(&upstream->balance, out | full, key, now_ms);
        if (picked < 0)
            return full & ~out & upstream->balance.spare ? -EAGAIN : -ENOENT;
    }
    if (picked >= 0 && upstream->seats[picked].server->ejection.hard && ejection_try(&upstream->seats[picked].server->ejection, now_ms))
        choice_server_changed(proxy, upstream->seats[picked].server);
    return picked;
}

uint32_t choice_order(struct proxy *proxy, struct upstream *upstream, uint64_t key, uint32_t *ret_order)
{
    double now_ms = net_now_ms(proxy->net);
    refresh_when_due(proxy, upstream, now_ms);
    return balance_order(&upstream->balance, key, now_ms, ret_order);
}

/* ---- what is learnt ---- */

/* It lets us in, or answers on a connection that it let us have before. */
static void is_reachable(struct proxy *proxy, struct server *server)
{
    double now_ms = net_now_ms(proxy->net);
    if (!ejection_connected(&server->ejection, now_ms))
        return;
    server->back_ms = now_ms;
    notice(proxy, "upstream \"%s\": %s: can be connected to again", server->upstream, server->address.label);
    choice_server_changed(proxy, server);
}

void choice_connected(struct proxy *proxy, struct link *link)
{
    link->server->connects++;
    is_reachable(proxy, link->server);
}

void choice_refused(struct proxy *proxy, const struct upstream *upstream, uint32_t seat, const struct link *link)
{
    struct server *server = link ? link->server : seat < upstream->seat_count ? upstream->seats[seat].server : NULL;
    if (!server)
        return;
    server->refused++;
    if (!ejection_connect_failed(&server->ejection, net_now_ms(proxy->net)))
        return;
    if (server->ejection.connects == 1) /* the first time; how long it lasts is seen in the status */
        notice(proxy, "upstream \"%s\": %s: cannot be connected to: left alone, but for one request now and then", server->upstream,
               server->address.label);
    choice_server_changed(proxy, server);
}

/* Statuses that speak of the server's state, not of the request: not 501 and 505. */
static bool is_failure(uint16_t status)
{
    return status >= 500 && status != 501 && status != 505;
}

static void answer_failed(struct proxy *proxy, struct link *link)
{
    struct server *server = link->server;
    double now_ms = net_now_ms(proxy->net);
    server->failures++;
    if (!link->upstream || !ejection_answer_failed(&server->ejection, &link->upstream->spec.options.ejection, now_ms))
        return;
    notice(proxy, "upstream \"%s\": %s: failed %u requests in a row: left alone for %.0f s", server->upstream, server->address.label,
           link->upstream->spec.options.ejection.errors, (server->ejection.until_ms - now_ms) / 1000);
    choice_server_changed(proxy, server);
}

void choice_answered(struct proxy *proxy, struct link *link, uint16_t status)
{
    struct server *server = link->server;
    double now_ms = net_now_ms(proxy->net);
    server->requests++;
    is_reachable(proxy, server);
    if (link->upstream)
        balance_answered(&link->upstream->balance, &server->load, now_ms - link->since_ms, now_ms);
    if (is_failure(status))
        answer_failed(proxy, link);
    else
        ejection_answered(&server->ejection);
}

void choice_failed(struct proxy *proxy, struct link *link)
{
    answer_failed(proxy, link);
}
