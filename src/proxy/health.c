/* Checks of servers: one worker of the node asks each server now and then whether it is well, and writes down what it finds for all.
 *
 *   RESTING ─time─▶ CONNECTING ─▶ ASKED ─▶ CLOSING ─ NET_CLOSED ─▶ RESTING
 *                        └─────────┴─ too late, failed ─▲ */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/must.h"
#include "http/body.h"
#include "proxy/inner.h"

enum { ELECT_MS = 500, FIRST_MS = 100, RESPONSE_BYTES = 65536 };

enum probe_state { PROBE_RESTING, PROBE_CONNECTING, PROBE_ASKED, PROBE_CLOSING };

struct probe {
    struct alarm alarm;            /* the next check, or the end of this one's time */
    struct proxy *proxy;
    struct server *server;         /* held; NULL: nobody wants to know any more */
    struct spec_check_options check;
    uint32_t number, conn, bytes;
    uint8_t state;                 /* enum probe_state */
    double begun_ms;
    char *response;                /* RESPONSE_BYTES and room for the parser, while there is one */
};

/* ---- results ---- */

static void changed(struct proxy *proxy, struct probe *probe, enum shared_health health)
{
    struct server *server = probe->server;
    struct shared_server *shared = server->shared;
    bool was_known = shared->health != HEALTH_UNKNOWN;
    shared_become(proxy->shared, shared, health, net_now_ms(proxy->net));
    if (health != HEALTH_UP)
        notice(proxy, "upstream \"%s\": %s: is down: %s (%u checks in a row)", server->upstream, server->address.label, shared->why, shared->bad);
    else if (was_known)
        notice(proxy, "upstream \"%s\": %s: is up: %u checks in a row were good", server->upstream, server->address.label, shared->good);
}

static void finish(struct probe *probe)
{
    struct proxy *proxy = probe->proxy;
    double rest_ms = probe->begun_ms + probe->check.every_ms - net_now_ms(proxy->net);
    probe->state = PROBE_CLOSING;
    conn_close(proxy->net, probe->conn, CLOSE_NOW);
    alarm_set(&proxy->alarms, &probe->alarm, rest_ms > 1 ? rest_ms : 1);
}

static void is_good(struct probe *probe)
{
    struct proxy *proxy = probe->proxy;
    struct shared_server *shared = probe->server->shared;
    shared->bad = 0;
    shared->good++;
    shared->took_ms = net_now_ms(proxy->net) - probe->begun_ms;
    shared->why[0] = 0;
    if (shared->health == HEALTH_UNKNOWN || (shared->health != HEALTH_UP && shared->good >= probe->check.rise))
        changed(proxy, probe, HEALTH_UP);
}

static void is_bad(struct probe *probe, enum shared_health health, const char *format, ...) __attribute__((format(printf, 3, 4)));

static void is_bad(struct probe *probe, enum shared_health health, const char *format, ...)
{
    struct shared_server *shared = probe->server->shared;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(shared->why, sizeof shared->why, format, arguments);
    va_end(arguments);
    shared->good = 0;
    shared->bad++;
    if (shared->health != health && shared->bad >= probe->check.fall)
        changed(probe->proxy, probe, health);
}

static void is_unreachable(struct probe *probe, int error)
{
    const char *text = strerrordesc_np(error);
    is_bad(probe, HEALTH_UNREACHABLE, "connecting failed: %s", text ? text : "unknown error");
}

/* ---- the answer ---- */

/* 1: the text is in the content so far; 0: more may come; -1: it is not. */
static int find_text(const struct probe *probe, const struct http_head *head, uint32_t from, bool ended)
{
    struct http_body body;
    uint32_t kept = 0;
    char *content = malloc(RESPONSE_BYTES); /* without its framing */
    http_body_begin_response(&body, head, METHOD_GET);
    int64_t used = 1;
    while (content && from < probe->bytes && !body.done && used > 0) {
        uint32_t at, count;
        used = http_body_next(&body, probe->response + from, probe->bytes - from, &at, &count);
        if (used <= 0)
            break;
        memcpy(content + kept, probe->response + from + at, count);
        kept += count;
        from += (uint32_t)used;
    }
    bool found = content && memmem(content, kept, probe->check.body, strlen(probe->check.body));
    free(content);
    if (found)
        return 1;
    return body.done || ended || used < 0 ? -1 : 0;
}

/* 1: well; 0: not said yet; -1: not well, and that was told. */
static int judge(struct probe *probe, bool ended)
{
    const struct http_head_limits limits = { PARTIAL_HEAD_BYTES, PARTIAL_HEAD_BYTES, HTTP_FIELDS_MAX };
    struct http_head_progress progress = { 0 };
    struct http_scan scan;
    struct http_head head;
    const char *reason = NULL;
    http_scan_begin(&scan, probe->response, probe->bytes);
    int bytes = http_response_parse(&scan, 0, &limits, &progress, &head, &reason);
    if (bytes == 0 && !ended)
        return 0;
    if (bytes <= 0)
        is_bad(probe, HEALTH_DOWN, bytes ? "malformed response head: %s" : "the connection ended before a response head%s", bytes && reason ? reason : "");
    else if (head.status < probe->check.status_from || head.status > probe->check.status_to)
        is_bad(probe, HEALTH_DOWN, "status %u", head.status);
    else if (!probe->check.body[0])
        return 1;
    else {
        int found = find_text(probe, &head, (uint32_t)bytes, ended);
        if (found >= 0)
            return found;
        is_bad(probe, HEALTH_DOWN, "the expected text is not in the response");
    }
    return -1;
}

static void look(struct probe *probe, bool ended)
{
    int good = judge(probe, ended);
    if (good == 0)
        return;
    if (good > 0)
        is_good(probe);
    finish(probe);
}

static void arrived(struct probe *probe, const struct net_event *event)
{
    uint32_t room = RESPONSE_BYTES - probe->bytes, count = event->count < room ? event->count : room;
    memcpy(probe->response + probe->bytes, event->bytes, count);
    probe->bytes += count;
    look(probe, probe->bytes == RESPONSE_BYTES);
}

/* ---- asking ---- */

static void ask(struct probe *probe)
{
    char text[2 * SPEC_TEXT_BYTES + 128], host[SPEC_TEXT_BYTES];
    const char *label = probe->server->address.label;
    snprintf(host, sizeof host, "%s", probe->check.host);
    if (!host[0])
        snprintf(host, sizeof host, "%.*s", (int)strcspn(label, " "), strncmp(label, "unix:", 5) == 0 ? "localhost" : label);
    int bytes = snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: moongate-check\r\nConnection: close\r\n\r\n",
                         probe->check.path, host);
    probe->state = PROBE_ASKED;
    conn_write(probe->proxy->net, probe->conn, text, (uint32_t)bytes); /* what fails comes as an event, or takes too long */
}

void health_on_net(struct proxy *proxy, const struct net_event *event)
{
    struct probe *probe = proxy->probes[event->owner & ~PROBE_OWNER];
    must(probe != NULL);
    bool asking = probe->state == PROBE_CONNECTING || probe->state == PROBE_ASKED;
    if (event->kind == NET_CLOSED) {
        probe->state = PROBE_RESTING;
        if (!probe->server)
            probe_free(proxy, probe);
    } else if (!asking) {
        return;
    } else if (event->kind == NET_CONNECTED && probe->check.kind == CHECK_HTTP) {
        ask(probe);
    } else if (event->kind == NET_CONNECTED) {
        is_good(probe);
        finish(probe);
    } else if (event->kind == NET_BYTES && probe->state == PROBE_ASKED) {
        arrived(probe, event);
    } else if (event->kind == NET_END && probe->state == PROBE_ASKED) {
        look(probe, true);
    } else if (event->kind == NET_FAILED) {
        if (probe->state == PROBE_CONNECTING)
            is_unreachable(probe, -event->result);
        else
            is_bad(probe, HEALTH_DOWN, "the connection was lost: %s", strerrordesc_np(-event->result));
        finish(probe);
    }
}

static void begin(struct probe *probe)
{
    struct proxy *proxy = probe->proxy;
    const struct proxy_address *address = &probe->server->address;
    probe->begun_ms = net_now_ms(proxy->net);
    probe->bytes = 0;
    if (!probe->response)
        probe->response = malloc(RESPONSE_BYTES + 64);
    int error = !probe->response ? -ENOMEM : conn_connect(proxy->net, (const struct sockaddr *)address->storage, address->bytes,
                                                         PROBE_OWNER | probe->number, &probe->conn);
    if (!error) {
        probe->state = PROBE_CONNECTING;
        alarm_set(&proxy->alarms, &probe->alarm, probe->check.timeout_ms);
        return;
    }
    if (error != -ENOMEM && error != -EMFILE && error != -ENFILE) /* want of our own says nothing of the server */
        is_unreachable(probe, -error);
    alarm_set(&proxy->alarms, &probe->alarm, probe->check.every_ms);
}

static void ring(void *context, struct alarm *alarm)
{
    struct probe *probe = (struct probe *)(void *)alarm; /* it is the first of it */
    struct proxy *proxy = context;
    if (probe->state == PROBE_RESTING) {
        if (proxy->checks)
            begin(probe);
    } else if (probe->state == PROBE_CLOSING) {
        alarm_set(&proxy->alarms, alarm, 1); /* the kernel still has the one before */
    } else {
        is_bad(probe, probe->state == PROBE_CONNECTING ? HEALTH_UNREACHABLE : HEALTH_DOWN, "no %s within %u ms",
               probe->state == PROBE_CONNECTING ? "connection" : "whole answer", probe->check.timeout_ms);
        finish(probe);
    }
}

/* ---- who is asked ---- */

static void probe_new(struct proxy *proxy, struct server *server, const struct spec_check_options *check)
{
    uint32_t number = 0;
    while (number < PROBES_MAX && proxy->probes[number])
        number++;
    struct probe *probe = number < PROBES_MAX && server->shared ? calloc(1, sizeof *probe) : NULL;
    if (!probe)
        return;
    *probe = (struct probe){ .alarm = { .ring = ring }, .proxy = proxy, .server = server, .check = *check, .number = number };
    server->probe = proxy->probes[number] = probe;
    server->holders++;
    alarm_set(&proxy->alarms, &probe->alarm, (double)(proxy_random(proxy) % FIRST_MS)); /* not all at the same moment */
}

void probe_free(struct proxy *proxy, struct probe *probe)
{
    alarm_stop(&proxy->alarms, &probe->alarm);
    proxy->probes[probe->number] = NULL;
    free(probe->response);
    free(probe);
}

/* The server is not checked any more; what is on its way ends by itself. */
static void probe_end(struct proxy *proxy, struct probe *probe)
{
    struct server *server = probe->server;
    probe->server = NULL;
    server->probe = NULL;
    if (probe->state == PROBE_CONNECTING || probe->state == PROBE_ASKED) {
        probe->state = PROBE_CLOSING;
        conn_close(proxy->net, probe->conn, CLOSE_NOW);
    }
    alarm_stop(&proxy->alarms, &probe->alarm);
    if (probe->state == PROBE_RESTING)
        probe_free(proxy, probe);
    server_drop(proxy, server);
}

/* How that server is to be checked, as the upstream says that was opened last; NULL: not at all. */
static const struct spec_check_options *check_of(const struct proxy *proxy, const struct server *server)
{
    for (const struct upstream *upstream = proxy->all; upstream; upstream = upstream->next) {
        bool checks = upstream->opens && upstream->spec.options.check.kind != CHECK_NONE;
        for (uint32_t at = 0; checks && at < upstream->seat_count; at++)
            if (upstream->seats[at].server == server)
                return &upstream->spec.options.check;
    }
    return NULL;
}

/* Nobody checks it any more: what was found holds no longer. */
static void forget_health(struct proxy *proxy, const struct server *server)
{
    struct shared_server *shared = server->shared;
    shared->good = shared->bad = 0;
    shared->why[0] = 0;
    if (shared->health != HEALTH_UNKNOWN)
        shared_become(proxy->shared, shared, HEALTH_UNKNOWN, net_now_ms(proxy->net));
}

/* `is_last`: this worker checked, and nobody wants it to; else another does what it leaves. */
static void follow_servers(struct proxy *proxy, bool is_last)
{
    for (struct server *next, *server = proxy->servers; server; server = next) {
        next = server->next;
        const struct spec_check_options *check = proxy->checks ? check_of(proxy, server) : NULL;
        if (check && !server->probe)
            probe_new(proxy, server, check);
        else if (check)
            server->probe->check = *check;
        else if (server->probe) {
            if (proxy->checks || is_last)
                forget_health(proxy, server);
            probe_end(proxy, server->probe);
        }
    }
}

static bool has_checks(const struct proxy *proxy)
{
    for (const struct upstream *upstream = proxy->all; upstream; upstream = upstream->next)
        if (upstream->opens && upstream->spec.options.check.kind != CHECK_NONE)
            return true;
    return false;
}

static void elect(void *context, struct alarm *alarm)
{
    struct proxy *proxy = context;
    bool wants = has_checks(proxy), is_last = !wants && proxy->checks;
    if (is_last)
        shared_resign(proxy->shared, proxy->options.worker);
    proxy->checks = wants && shared_elect(proxy->shared, proxy->options.worker, net_now_ms(proxy->net));
    follow_servers(proxy, is_last);
    if (wants)
        alarm_set(&proxy->alarms, alarm, ELECT_MS);
}

void health_follow(struct proxy *proxy)
{
    proxy->election.ring = elect;
    if (!alarm_is_set(&proxy->election))
        alarm_set(&proxy->alarms, &proxy->election, 0);
}

void health_fini(struct proxy *proxy)
{
    shared_resign(proxy->shared, proxy->options.worker);
    for (uint32_t i = 0; i < PROBES_MAX; i++)
        if (proxy->probes[i])
            probe_free(proxy, proxy->probes[i]);
}
