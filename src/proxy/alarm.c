/* A wheel whose next tick is what the engine's timer waits for. */
#include "proxy/alarm.h"

#include <math.h>
#include <stddef.h>

#include "net/net.h"

void alarms_init(struct alarms *alarms, struct net *net, uint32_t user, void *context)
{
    alarms->net = net;
    alarms->user = user;
    alarms->context = context;
    alarms->timer = -1;
    wheel_init(&alarms->wheel, (uint64_t)net_now_ms(net));
}

/* The timer moves only when something is due sooner: one that comes for nothing costs less than one for each alarm. */
static void arm(struct alarms *alarms)
{
    uint64_t ticks = wheel_next(&alarms->wheel);
    if (ticks == UINT64_MAX)
        return;
    double now_ms = net_now_ms(alarms->net), due_ms = (double)alarms->wheel.now + (double)ticks;
    if (alarms->timer >= 0 && alarms->timer_due_ms <= due_ms)
        return;
    if (alarms->timer >= 0)
        net_timer_stop(alarms->net, alarms->timer);
    alarms->timer_due_ms = due_ms;
    alarms->timer = net_timer_start(alarms->net, due_ms > now_ms ? due_ms - now_ms : 0, alarms->user, 0);
}

void alarm_set(struct alarms *alarms, struct alarm *alarm, double ms)
{
    wheel_remove(&alarms->wheel, &alarm->node);
    wheel_insert(&alarms->wheel, &alarm->node, (uint64_t)ceil(net_now_ms(alarms->net) + (ms > 0 ? ms : 0)));
    arm(alarms);
}

void alarm_stop(struct alarms *alarms, struct alarm *alarm)
{
    wheel_remove(&alarms->wheel, &alarm->node);
}

int alarm_is_set(const struct alarm *alarm)
{
    return alarm->node.next != NULL;
}

void alarms_due(struct alarms *alarms)
{
    struct wheel_node *node;
    alarms->timer = -1;
    wheel_advance(&alarms->wheel, (uint64_t)net_now_ms(alarms->net));
    while ((node = wheel_expired(&alarms->wheel))) {
        struct alarm *alarm = (struct alarm *)(void *)node; /* it is the first of it */
        alarm->ring(alarms->context, alarm);
    }
    arm(alarms);
}
