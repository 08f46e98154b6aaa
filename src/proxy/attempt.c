/* Attempts: which server an exchange asks, what becomes of the request when that comes to nothing, and asking a second server when the first
 * is slow.
 *
 * The request so far stands in `kept` as long as it may have to be sent once more: until there is a connection; on one that was kept until
 * the first byte of the response, for it may be stale; on a fresh one as well when the terms allow another attempt. */
#include <errno.h>
#include <stddef.h>

#include "proxy/inner.h"

static void dispatch(struct proxy *proxy, struct exchange *x, const char *head, uint32_t bytes);

/* ---- which server ---- */

static uint64_t bit(uint32_t seat)
{
    return UINT64_C(1) << seat;
}

static uint64_t seats_all(const struct upstream *upstream)
{
    return upstream->balance.usable | upstream->balance.spare;
}

/* One that was not tried; when all were, and let us in, any, if the terms say so. As choice_pick(). */
static int choose(struct proxy *proxy, struct exchange *x)
{
    int seat = choice_pick(proxy, x->upstream, x->tried, x->key, x->wanted);
    bool refused = x->failure.cause == CAUSE_CONNECT || x->failure.cause == CAUSE_CONNECT_TIME;
    if (seat != -ENOENT || refused || !x->terms->same || !x->tried)
        return seat;
    x->tried = 0;
    return choice_pick(proxy, x->upstream, 0, x->key, x->wanted);
}

/* ---- another attempt ---- */

static uint32_t cause_bit(enum failure_cause cause)
{
    switch (cause) {
    case CAUSE_CONNECT:
    case CAUSE_CONNECT_TIME:
        return RETRY_CONNECT;
    case CAUSE_CLOSED:
        return RETRY_CLOSED;
    case CAUSE_TIME:
    case CAUSE_SEND_TIME:
        return RETRY_TIMEOUT;
    case CAUSE_HEAD:
    case CAUSE_INTERIM:
        return RETRY_MALFORMED;
    default:
        return 0;
    }
}

static bool has_status(const struct terms *terms, uint16_t status)
{
    for (uint32_t i = 0; i < TERMS_STATUSES_MAX && terms->statuses[i]; i++)
        if (terms->statuses[i] == status)
            return true;
    return false;
}

/* Is all of the request here, and may the server that was asked see it again? */
static bool is_repeatable(const struct proxy *proxy, const struct exchange *x)
{
    if (!x->kept.first || x->interim)
        return false;
    return x->again || x->state == EXCHANGE_CONNECTING || conn_sent_total(proxy->net, x->link->conn) == x->link->sent_before;
}

/* What was not sent costs no server anything: only the rest is taken off the budget. */
static bool may_repeat(struct proxy *proxy, struct exchange *x)
{
    bool untried = seats_all(x->upstream) & ~x->tried;
    if (x->attempt >= x->terms->attempts || (!untried && !x->terms->same) || !is_repeatable(proxy, x))
        return false;
    if (x->state == EXCHANGE_CONNECTING || budget_take(&x->upstream->budget, net_now_ms(proxy->net)))
        return true;
    x->failure.unaffordable = 1;
    return false;
}

/* A kept connection that had ended when it was used: known by its end before the first byte of a response. The request goes to a fresh
 * one, once, and that is not another attempt. */
static bool was_stale(const struct proxy *proxy, const struct exchange *x, const struct failure *why)
{
    return x->state == EXCHANGE_WAITING && !x->fresh && why->cause == CAUSE_CLOSED && !x->partial && is_repeatable(proxy, x);
}

static void repeat(struct proxy *proxy, struct exchange *x)
{
    exchange_detach(proxy, x);
    partial_put(proxy, &x->partial);
    x->deaf = x->behind = false;
    dispatch(proxy, x, NULL, 0);
}

static void hedge_becomes_first(struct proxy *proxy, struct exchange *x)
{
    struct link *link = x->hedge;
    x->hedge = NULL;
    exchange_detach(proxy, x);
    partial_put(proxy, &x->partial);
    x->link = link;
    x->seat = link->seat;
    x->acked = link->sent_before;
    if (link->state == LINK_CONNECTING) {
        exchange_move(x, EXCHANGE_CONNECTING);
        patience_set(proxy, x, patience_ms(x->terms->connect_ms, proxy->options.connect_ms));
        return;
    }
    if (x->state != EXCHANGE_WAITING)
        exchange_move(x, EXCHANGE_WAITING);
    patience_for_head(proxy, x);
}

/* As exchange_fail() does for the last one. */
static void is_blamed(struct proxy *proxy, const struct exchange *x, const struct failure *why)
{
    if (x->link && failure_is_of_server(why))
        choice_failed(proxy, x->link);
}

void attempt_over(struct proxy *proxy, struct exchange *x, struct failure why)
{
    if (x->state == EXCHANGE_CONTENT) {
        exchange_fail(proxy, x, why);
        return;
    }
    x->failure = why;
    x->tried |= bit(x->seat);
    if (x->state == EXCHANGE_CONNECTING)
        choice_refused(proxy, x->upstream, x->seat, x->link);
    if (x->hedge) {
        is_blamed(proxy, x, &why);
        hedge_becomes_first(proxy, x);
    } else if (was_stale(proxy, x, &why)) {
        proxy->facts.retried++;
        x->tried &= ~bit(x->seat);
        x->attempt--;
        repeat(proxy, x);
    } else if (x->terms->retry_on & cause_bit((enum failure_cause)why.cause) && may_repeat(proxy, x)) {
        is_blamed(proxy, x, &why);
        proxy->facts.repeated++;
        repeat(proxy, x);
    } else {
        exchange_fail(proxy, x, x->failure);
    }
}

int attempt_repeat(struct proxy *proxy, struct exchange *x, uint16_t status)
{
    if (status < 400 || !has_status(x->terms, status))
        return 0;
    x->failure = (struct failure){ .cause = CAUSE_STATUS, .status = status };
    x->tried |= bit(x->seat);
    if (!may_repeat(proxy, x))
        return 0;
    choice_answered(proxy, x->link, status);
    proxy->facts.repeated++;
    repeat(proxy, x);
    return 1;
}

/* ---- connections ---- */

static void attach(struct proxy *proxy, struct exchange *x, struct link *link)
{
    link->exchange = x;
    x->link = link;
    x->acked = link->sent_before = conn_sent_total(proxy->net, link->conn);
}

static void attach_kept(struct proxy *proxy, struct exchange *x, struct link *link, const char *head, uint32_t bytes)
{
    attach(proxy, x, link);
    x->fresh = false;
    exchange_move(x, EXCHANGE_WAITING);
    patience_for_head(proxy, x);
    int error = conn_write(proxy->net, link->conn, head, bytes);
    if (error == -ENOBUFS)
        exchange_fail(proxy, x, (struct failure){ .cause = CAUSE_MEMORY });
    else if (error)
        attempt_over(proxy, x, (struct failure){ .cause = CAUSE_CLOSED, .error = -error });
}

static void attach_fresh(struct proxy *proxy, struct exchange *x, struct link *link)
{
    attach(proxy, x, link);
    x->fresh = true;
    exchange_move(x, EXCHANGE_CONNECTING);
    patience_set(proxy, x, patience_ms(x->terms->connect_ms, proxy->options.connect_ms));
}

/* What was waiting for the connection is sent on it, and stays here if it may have to be sent again. */
static void send_kept(struct proxy *proxy, struct exchange *x)
{
    bool again = !x->fresh || (x->again && x->attempt < x->terms->attempts);
    patience_for_head(proxy, x);
    if (!again || x->kept.bytes > patience_ms(x->terms->replay_bytes, proxy->options.replay_bytes)) {
        conn_take(proxy->net, x->link->conn, &x->kept);
    } else if (conn_copy(proxy->net, x->link->conn, &x->kept)) {
        exchange_fail(proxy, x, (struct failure){ .cause = CAUSE_MEMORY });
        return;
    }
    if (x->full)
        conn_notify_drained(proxy->net, x->link->conn, proxy->options.window_bytes / 2);
}

/* A kept connection, for one that waited for it: what it has to send stands in `kept`. */
static void attach_waited(struct proxy *proxy, struct exchange *x, struct link *link)
{
    attach(proxy, x, link);
    x->fresh = false;
    exchange_move(x, EXCHANGE_WAITING);
    send_kept(proxy, x);
}

static void wait_for_link(struct proxy *proxy, struct exchange *x)
{
    if (waiting_add(proxy, x) == 0)
        exchange_move(x, EXCHANGE_CONNECTING);
    else
        exchange_fail(proxy, x, (struct failure){ .cause = CAUSE_WAIT_FULL });
}

/* 1: it is connecting; 0: another server may be asked; -1: none. */
static int connect_to(struct proxy *proxy, struct exchange *x)
{
    struct link *link;
    int error = link_connect(proxy, x->upstream, x->seat, &link);
    if (!error) {
        attach_fresh(proxy, x, link);
        return 1;
    }
    x->failure = (struct failure){ .cause = error == -EMFILE ? CAUSE_CONNECTIONS : CAUSE_CONNECT, .error = -error };
    if (error == -EMFILE)
        return -1;
    x->tried |= bit(x->seat);
    choice_refused(proxy, x->upstream, x->seat, NULL);
    return x->attempt < x->terms->attempts && x->terms->retry_on & RETRY_CONNECT ? 0 : -1;
}

/* Gives the exchange a connection: a kept one only as its first, then `head` is what to send on it. Otherwise it waits, or ends as FAILED. */
static void dispatch(struct proxy *proxy, struct exchange *x, const char *head, uint32_t bytes)
{
    int seat, connecting = 0;
    while (!connecting && (seat = choose(proxy, x)) != -ENOENT) {
        if (seat < 0) {
            wait_for_link(proxy, x);
            return;
        }
        x->seat = (uint32_t)seat;
        x->attempt++;
        struct link *link = head ? link_take(proxy, x->upstream, x->seat) : NULL;
        if (link) {
            attach_kept(proxy, x, link, head, bytes);
            return;
        }
        connecting = connect_to(proxy, x);
    }
    if (connecting == 1)
        return;
    if (x->attempt == 0)
        x->failure = (struct failure){ .cause = CAUSE_SERVERS, .reason = upstream_lack(x->upstream) };
    exchange_fail(proxy, x, x->failure);
}

void exchange_go(struct proxy *proxy, struct exchange *x)
{
    int seat = choice_pick(proxy, x->upstream, x->tried, x->key, x->wanted);
    struct link *link = seat >= 0 ? link_take(proxy, x->upstream, (uint32_t)seat) : NULL;
    if (!link) {
        dispatch(proxy, x, NULL, 0);
        return;
    }
    x->seat = (uint32_t)seat;
    x->attempt++;
    attach_waited(proxy, x, link);
}

void attempt_first(struct proxy *proxy, struct exchange *x, const char *head, uint32_t bytes)
{
    const struct terms *terms = x->terms;
    static const uint32_t idempotent = 1u << METHOD_GET | 1u << METHOD_HEAD | 1u << METHOD_OPTIONS | 1u << METHOD_TRACE | 1u << METHOD_PUT |
                                       1u << METHOD_DELETE; /* RFC 9110 §9.2.2: sending it twice is sending it once */
    uint32_t total = patience_ms(terms->total_ms, proxy->options.total_ms);
    double now = net_now_ms(proxy->net);
    x->again = (idempotent | terms->retry_methods) >> x->method & 1;
    x->total_due_ms = total ? now + total : 0;
    x->hedge_due_ms = terms->hedge_ms ? now + terms->hedge_ms : 0;
    budget_earn(&x->upstream->budget, terms->share, now);
    dispatch(proxy, x, head, bytes);
}

void attempt_connected(struct proxy *proxy, struct exchange *x)
{
    link_connected(proxy, x->link);
    exchange_move(x, EXCHANGE_WAITING);
    send_kept(proxy, x);
}

/* ---- a second server ---- */

void attempt_hedge(struct proxy *proxy, struct exchange *x)
{
    struct link *link = NULL;
    bool whole = x->state == EXCHANGE_WAITING && x->sent_all && x->again && x->kept.first;
    if (!whole || x->interim || x->partial || x->hedge || x->attempt >= x->terms->attempts)
        return;
    int seat = choice_pick(proxy, x->upstream, x->tried | bit(x->seat), x->key, -1);
    if (seat < 0 || !budget_take(&x->upstream->budget, net_now_ms(proxy->net)))
        return;
    link = link_take(proxy, x->upstream, (uint32_t)seat);
    if (!link && link_connect(proxy, x->upstream, (uint32_t)seat, &link))
        return;
    x->hedge = link;
    link->exchange = x;
    link->sent_before = conn_sent_total(proxy->net, link->conn);
    x->attempt++;
    proxy->facts.hedged++;
    conn_deadline(proxy->net, link->conn, link->state == LINK_BUSY ? 0 : patience_ms(x->terms->connect_ms, proxy->options.connect_ms));
    if (link->state == LINK_BUSY && conn_copy(proxy->net, link->conn, &x->kept))
        hedge_drop(proxy, x);
}

void hedge_drop(struct proxy *proxy, struct exchange *x)
{
    struct link *link = x->hedge;
    x->hedge = NULL;
    if (link)
        link_close(proxy, link);
}

/* Of the second server's connection. The first byte of a response decides between the two; until then its failing is of no matter. */
void hedge_on_net(struct proxy *proxy, struct exchange *x, const struct net_event *event)
{
    struct link *link = x->hedge;
    switch ((enum net_event_kind)event->kind) {
    case NET_CONNECTED:
        link_connected(proxy, link);
        conn_deadline(proxy->net, link->conn, 0);
        if (conn_copy(proxy->net, link->conn, &x->kept))
            hedge_drop(proxy, x);
        break;
    case NET_BYTES:
        x->tried |= bit(x->seat);
        hedge_becomes_first(proxy, x);
        break;
    case NET_FAILED:
        if (link->state == LINK_CONNECTING)
            choice_refused(proxy, x->upstream, link->seat, link);
        hedge_drop(proxy, x);
        break;
    case NET_END:
    case NET_TIMEOUT:
        hedge_drop(proxy, x);
        break;
    default:
        break;
    }
}
