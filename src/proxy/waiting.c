/* A queue for each upstream, in order of arrival. All of one wait equally long, so that the first is the first to be late. */
#include <errno.h>

#include "proxy/inner.h"

enum { ASK_MS = 10 };

static struct upstream *of_alarm(struct alarm *alarm)
{
    return (struct upstream *)(void *)((char *)alarm - offsetof(struct upstream, waiting.alarm));
}

static void watch_first(struct proxy *proxy, struct upstream *upstream);

static void late(void *context, struct alarm *alarm)
{
    struct proxy *proxy = context;
    struct upstream *upstream = of_alarm(alarm);
    const char *why = upstream->balance.spare ? NULL : "no server is known yet, and none was";
    proxy->freed = true;
    upstream_use(upstream); /* the last of its exchanges may end here */
    for (struct exchange *x; (x = upstream->waiting.first) && x->wait_until_ms <= net_now_ms(proxy->net);)
        exchange_fail(proxy, x, (struct failure){ .cause = CAUSE_WAIT_TIME, .ms = upstream->spec.options.queue_ms, .reason = why });
    watch_first(proxy, upstream);
    upstream_drop(proxy, upstream);
}

static void watch_first(struct proxy *proxy, struct upstream *upstream)
{
    struct waiting *waiting = &upstream->waiting;
    if (waiting->first) {
        waiting->alarm.ring = late;
        double ms = waiting->first->wait_until_ms - net_now_ms(proxy->net);
        bool asks = upstream->limited && !proxy->own_shared; /* another worker does not say when it has done with a connection */
        alarm_set(&proxy->alarms, &waiting->alarm, asks && ms > ASK_MS ? ASK_MS : ms);
    } else {
        alarm_stop(&proxy->alarms, &waiting->alarm);
    }
}

int waiting_add(struct proxy *proxy, struct exchange *x)
{
    struct waiting *waiting = &x->upstream->waiting;
    if (waiting->count >= x->upstream->spec.options.queue_max)
        return -EBUSY;
    x->waits = true;
    x->wait_until_ms = net_now_ms(proxy->net) + x->upstream->spec.options.queue_ms;
    x->wait_next = NULL;
    x->wait_prev = waiting->last;
    *(waiting->last ? &waiting->last->wait_next : &waiting->first) = x;
    waiting->last = x;
    if (waiting->count++ == 0) {
        x->upstream->next_waiting = proxy->waiting;
        proxy->waiting = x->upstream;
        watch_first(proxy, x->upstream);
    }
    return 0;
}

static void unlist(struct proxy *proxy, struct upstream *upstream)
{
    struct upstream **at = &proxy->waiting;
    while (*at != upstream)
        at = &(*at)->next_waiting;
    *at = upstream->next_waiting;
}

void waiting_remove(struct proxy *proxy, struct exchange *x)
{
    struct waiting *waiting = &x->upstream->waiting;
    if (!x->waits)
        return;
    bool was_first = waiting->first == x;
    x->waits = false;
    *(x->wait_prev ? &x->wait_prev->wait_next : &waiting->first) = x->wait_next;
    *(x->wait_next ? &x->wait_next->wait_prev : &waiting->last) = x->wait_prev;
    if (--waiting->count == 0)
        unlist(proxy, x->upstream);
    if (was_first)
        watch_first(proxy, x->upstream);
}

/* Those that can go on do, in order; the first that cannot keeps the others waiting. */
static void wake(struct proxy *proxy, struct upstream *upstream)
{
    upstream_use(upstream);
    for (struct exchange *x; (x = upstream->waiting.first);) {
        if (choice_must_wait(proxy, upstream, x->tried))
            break;
        waiting_remove(proxy, x);
        exchange_go(proxy, x);
        if (x->waits)
            break; /* for another server than the one that is free */
    }
    upstream_drop(proxy, upstream);
}

void waiting_turn(struct proxy *proxy)
{
    struct upstream *next;
    if (!proxy->freed)
        return;
    proxy->freed = false;
    for (struct upstream *upstream = proxy->waiting; upstream; upstream = next) {
        next = upstream->next_waiting;
        wake(proxy, upstream);
    }
}
