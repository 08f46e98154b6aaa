/* Counters of failures and the times they cost. */
#include "proxy/ejection.h"

static double grown(double ms, double max_ms, uint32_t doublings)
{
    for (uint32_t i = 0; i < doublings && ms < max_ms; i++)
        ms *= 2;
    return ms < max_ms ? ms : max_ms;
}

int ejection_is_out(const struct ejection *e, double now_ms)
{
    return e->until_ms > now_ms;
}

static void put_aside(struct ejection *e, double ms, double now_ms)
{
    e->until_ms = now_ms + ms;
    e->since_ms = now_ms;
    e->trial = 0;
}

int ejection_connect_failed(struct ejection *e, double now_ms)
{
    if (ejection_is_out(e, now_ms) && e->hard && !e->trial)
        return 0;
    put_aside(e, grown(EJECTION_CONNECT_MS, EJECTION_CONNECT_MAX_MS, e->connects), now_ms);
    e->connects++;
    e->hard = 1;
    return 1;
}

/* For each time that it has behaved as long as the last time aside took, one time is forgotten. */
static void forget_times(struct ejection *e, const struct ejection_policy *policy, double now_ms)
{
    double quiet = now_ms - e->until_ms;
    while (e->times > 0 && policy->ms > 0 && quiet > (double)policy->ms * e->times) {
        quiet -= (double)policy->ms * e->times;
        e->times--;
    }
}

int ejection_answer_failed(struct ejection *e, const struct ejection_policy *policy, double now_ms)
{
    e->errors++;
    if (policy->errors == 0 || e->errors < policy->errors || ejection_is_out(e, now_ms))
        return 0;
    forget_times(e, policy, now_ms);
    double ms = (double)policy->ms * ++e->times;
    put_aside(e, ms < policy->max_ms ? ms : policy->max_ms, now_ms);
    e->errors = 0;
    e->hard = 0;
    return 1;
}

int ejection_connected(struct ejection *e, double now_ms)
{
    int was_hard = e->hard;
    e->connects = 0;
    if (!was_hard)
        return 0;
    e->hard = e->trial = 0;
    e->until_ms = 0;
    e->since_ms = now_ms;
    return 1;
}

void ejection_answered(struct ejection *e)
{
    e->errors = 0;
}

int ejection_try(struct ejection *e, double now_ms)
{
    if (!e->hard || ejection_is_out(e, now_ms))
        return 0;
    e->trial = 1;
    e->until_ms = now_ms + EJECTION_TRIAL_MS;
    return 1;
}
