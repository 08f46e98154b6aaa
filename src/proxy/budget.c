/* Two small stores: one that earns with each request and fades, one that fills with time. */
#include "proxy/budget.h"

enum { WHOLE = 1000 };

static double at_most(double value, double most)
{
    return value < most ? value : most;
}

static void pass(struct budget *budget, double now_ms)
{
    double ms = now_ms - budget->at_ms;
    if (budget->at_ms == 0)
        budget->floor = BUDGET_FLOOR_PER_SECOND;
    else if (ms > 0) {
        budget->earned *= ms < BUDGET_LIFE_MS ? 1 - ms / BUDGET_LIFE_MS : 0;
        budget->floor = at_most(budget->floor + ms * BUDGET_FLOOR_PER_SECOND / 1000, BUDGET_FLOOR_PER_SECOND);
    }
    budget->at_ms = now_ms;
}

void budget_earn(struct budget *budget, uint32_t share, double now_ms)
{
    if (now_ms != budget->at_ms)
        pass(budget, now_ms);
    budget->earned += share;
}

int budget_take(struct budget *budget, double now_ms)
{
    pass(budget, now_ms);
    if (budget->earned >= WHOLE)
        budget->earned -= WHOLE;
    else if (budget->floor >= 1)
        budget->floor -= 1;
    else
        return 0;
    return 1;
}
