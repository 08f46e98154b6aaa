/* Times at which something of the proxy room is due: any number of them on one timer of the engine. Set again, an alarm moves. */
#pragma once
#include "base/wheel.h"

struct alarms;
struct net;

/* Part of what it is about; begins all zero. */
struct alarm {
    struct wheel_node node; /* private */
    void (*ring)(void *context, struct alarm *alarm);
};

struct alarms {
    struct net *net;
    void *context;       /* given to ring() */
    uint32_t user;       /* of the engine's timer */
    int32_t timer;       /* -1: none runs */
    double timer_due_ms;
    struct wheel wheel;
};

void alarms_init(struct alarms *alarms, struct net *net, uint32_t user, void *context);
/* Rings `ms` from now, once; never early. */
void alarm_set(struct alarms *alarms, struct alarm *alarm, double ms);
void alarm_stop(struct alarms *alarms, struct alarm *alarm);
int alarm_is_set(const struct alarm *alarm);
/* NET_TIMER with that user has come. */
void alarms_due(struct alarms *alarms);
