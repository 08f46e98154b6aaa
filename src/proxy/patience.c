/* How long an exchange waits, and what follows when it has waited long enough. The connection has one deadline: the nearest of the one for
 * what is waited for now, the one for the whole exchange, and the moment at which another server is asked as well. */
#include <stddef.h>

#include "proxy/inner.h"

uint32_t patience_ms(uint32_t said, uint32_t otherwise)
{
    return said == TERMS_UNSAID ? otherwise : said;
}

static double sooner(double a, double b)
{
    return a == 0 || (b != 0 && b < a) ? b : a;
}

static void arm(struct proxy *proxy, const struct exchange *x)
{
    double due = sooner(x->due_ms, sooner(x->total_due_ms, x->hedge_due_ms)), left = due - net_now_ms(proxy->net);
    conn_deadline(proxy->net, x->link->conn, due == 0 ? 0 : left < 1 ? 1 : (uint32_t)left);
}

void patience_set(struct proxy *proxy, struct exchange *x, uint32_t ms)
{
    x->due_ms = ms ? net_now_ms(proxy->net) + ms : 0;
    arm(proxy, x);
}

static uint32_t send_ms(const struct proxy *proxy, const struct exchange *x)
{
    return patience_ms(x->terms->send_ms, proxy->options.send_ms);
}

static uint32_t head_ms(const struct proxy *proxy, const struct exchange *x)
{
    return patience_ms(x->terms->head_ms, proxy->options.head_ms);
}

void patience_for_head(struct proxy *proxy, struct exchange *x)
{
    patience_set(proxy, x, x->sent_all ? head_ms(proxy, x) : send_ms(proxy, x));
}

static uint32_t content_ms(const struct proxy *proxy, const struct exchange *x)
{
    bool tunnel = x->tunnel && !x->sent_all; /* once the client has ended its side, the server is to do so as well */
    return tunnel ? patience_ms(x->terms->tunnel_ms, proxy->options.tunnel_ms) : patience_ms(x->terms->between_ms, proxy->options.between_ms);
}

void patience_for_content(struct proxy *proxy, struct exchange *x)
{
    patience_set(proxy, x, content_ms(proxy, x));
}

/* Has the server taken something since it was last looked at? */
static bool has_moved(struct proxy *proxy, struct exchange *x)
{
    uint64_t before = x->acked;
    x->acked = conn_acked(proxy->net, x->link->conn);
    return x->acked != before;
}

static void waited_for_head(struct proxy *proxy, struct exchange *x)
{
    bool moved = has_moved(proxy, x), taken = conn_queued(proxy->net, x->link->conn) == 0;
    if (!taken && !moved) {
        attempt_over(proxy, x, (struct failure){ .cause = CAUSE_SEND_TIME, .ms = send_ms(proxy, x) });
    } else if (!taken || !x->sent_all) { /* it moves; or it is the client that is slow: whoever reads it has a limit for that */
        x->behind = !taken;
        patience_set(proxy, x, send_ms(proxy, x));
    } else if (x->behind) { /* the last of it was taken since */
        x->behind = false;
        patience_for_head(proxy, x);
    } else {
        attempt_over(proxy, x, (struct failure){ .cause = CAUSE_TIME, .ms = head_ms(proxy, x) });
    }
}

static void waited_for_content(struct proxy *proxy, struct exchange *x)
{
    if (!x->sent_all && has_moved(proxy, x)) /* it is still taking the request */
        patience_for_content(proxy, x);
    else
        exchange_fail(proxy, x, (struct failure){ .cause = x->tunnel ? CAUSE_SILENCE : CAUSE_TIME, .ms = content_ms(proxy, x) });
}

void patience_over(struct proxy *proxy, struct exchange *x)
{
    double now = net_now_ms(proxy->net);
    if (x->total_due_ms > 0 && now >= x->total_due_ms) {
        exchange_fail(proxy, x, (struct failure){ .cause = CAUSE_TOTAL_TIME, .ms = patience_ms(x->terms->total_ms, proxy->options.total_ms) });
    } else if (x->hedge_due_ms > 0 && now >= x->hedge_due_ms) {
        x->hedge_due_ms = 0;
        attempt_hedge(proxy, x);
        arm(proxy, x);
    } else if (x->due_ms == 0 || now < x->due_ms) {
        arm(proxy, x); /* it was moved on since */
    } else if (x->state == EXCHANGE_CONNECTING) {
        attempt_over(proxy, x, (struct failure){ .cause = CAUSE_CONNECT_TIME, .ms = patience_ms(x->terms->connect_ms, proxy->options.connect_ms) });
    } else if (x->state == EXCHANGE_WAITING) {
        waited_for_head(proxy, x);
    } else {
        waited_for_content(proxy, x);
    }
}
