/* Smooth weighted round robin: everybody earns his weight, the richest is picked and pays what all have earned. */
#include "proxy/balance.h"

#include <string.h>

#include "base/must.h"

static int is_tried(uint64_t tried, uint32_t index)
{
    return (int)(tried >> index & 1);
}

static int richest(struct balance *servers, uint32_t count, uint64_t tried, double now_ms)
{
    int best = -1;
    int32_t earned = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (is_tried(tried, i) || servers[i].down_until_ms > now_ms)
            continue;
        servers[i].credit += servers[i].weight;
        earned += servers[i].weight;
        if (best < 0 || servers[i].credit > servers[best].credit)
            best = (int)i;
    }
    if (best >= 0)
        servers[best].credit -= earned;
    return best;
}

static int soonest(const struct balance *servers, uint32_t count, uint64_t tried)
{
    int best = -1;
    for (uint32_t i = 0; i < count; i++)
        if (!is_tried(tried, i) && (best < 0 || servers[i].down_until_ms < servers[best].down_until_ms))
            best = (int)i;
    return best;
}

int balance_pick(struct balance *servers, uint32_t count, uint64_t tried, double now_ms)
{
    must(count <= 64);
    int best = richest(servers, count, tried, now_ms);
    if (best < 0)
        return soonest(servers, count, tried);
    if (servers[best].failures) {
        servers[best].trial = 1;
        servers[best].down_until_ms = now_ms + BALANCE_TRIAL_MS;
    }
    return best;
}

void balance_order(const struct balance *servers, uint32_t count, double now_ms, uint32_t *ret_order)
{
    struct balance copy[64];
    uint64_t tried = 0;
    must(count <= 64);
    memcpy(copy, servers, count * sizeof *copy);
    for (uint32_t i = 0; i < count; i++) {
        ret_order[i] = (uint32_t)balance_pick(copy, count, tried, now_ms);
        tried |= UINT64_C(1) << ret_order[i];
    }
}

void balance_fail(struct balance *server, double now_ms)
{
    if (server->down_until_ms > now_ms && !server->trial)
        return;
    server->trial = 0;
    double ms = BALANCE_DOWN_MS;
    for (uint32_t i = 0; i < server->failures && ms < BALANCE_DOWN_MAX_MS; i++)
        ms *= 2;
    server->failures++;
    server->down_until_ms = now_ms + (ms < BALANCE_DOWN_MAX_MS ? ms : BALANCE_DOWN_MAX_MS);
}

void balance_ok(struct balance *server)
{
    server->failures = server->trial = 0;
    server->down_until_ms = 0;
}
