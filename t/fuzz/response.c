/* Responses of an upstream whole against cut: what the client gets, how it ends and whether the connection is kept must not depend on where
 * the pieces end. Input: bytes per piece (0: one less than all), what was asked for, then what the server says.
 *
 * The exchange and its connection are real; the bytes are given to the room as the engine would give them. */
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "http/head.h"
#include "net/net.h"
#include "proxy/exchange.h"
#include "proxy/terms.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct outcome {
    uint32_t status, ending, interims, trailers, kept, count, hash;
};

static struct net *net;
static struct proxy *proxy;
static int listener, upstream, terms;
static struct net_event connection; /* of the exchange that runs */

static void begin_all(void)
{
    char message[256], path[64], lines[96];
    const struct net_options engine = { .connections = 16, .buffer_bytes = 8 << 20 };
    const struct proxy_options options = { .exchanges = 4, .connections = 16 };
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    http_head_select(0);
    snprintf(path, sizeof path, "/tmp/moongate-fuzz-%d", getpid());
    memcpy(address.sun_path, path, strlen(path) + 1);
    listener = socket(AF_UNIX, SOCK_STREAM, 0);
    unlink(path);
    net = net_new(&engine, message, sizeof message);
    proxy = net ? proxy_new(net, &options) : NULL;
    if (!proxy || bind(listener, (struct sockaddr *)&address, sizeof address) < 0 || listen(listener, 16) < 0)
        __builtin_trap();
    snprintf(lines, sizeof lines, "unix:%s\n", path);
    upstream = proxy_upstream_open(proxy, (struct slice){ "fuzz", 4 }, (struct slice){ lines, (uint32_t)strlen(lines) }, message, sizeof message);
    terms = proxy_terms_open(proxy, (struct slice){ "attempts 1\n", 11 });
    if (upstream < 0 || terms < 0)
        __builtin_trap();
}

/* Until the connection is there, or gone. */
static void turn_until(enum net_event_kind kind)
{
    for (struct net_event event = { .kind = NET_NONE }; event.kind != kind;) {
        if (net_turn(net, 1) < 0)
            __builtin_trap();
        while (event.kind != kind && net_event_next(net, &event)) {
            proxy_on_net(proxy, &event);
            if (event.kind == NET_CONNECTED)
                connection = event;
        }
    }
}

static uint32_t begin(uint8_t asked)
{
    static char text[] = "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n"
                         "________________________________________________________________"; /* the parser may read on */
    const struct http_head_limits limits = { 8192, 8192, HTTP_FIELDS_MAX };
    struct http_scan scan;
    struct http_head_progress progress = { 0 };
    struct http_head head;
    const char *reason;
    uint32_t exchange;
    memcpy(text, asked & 1 ? "PUT" : "GET", 3);
    http_scan_begin(&scan, text, sizeof text - 65);
    if (http_request_parse(&scan, 0, &limits, &progress, &head, &reason) <= 0)
        __builtin_trap();
    if (asked & 2)
        head.method = METHOD_HEAD;
    struct proxy_request request = { .head = &head, .base = text, .terms = terms, .body_kind = BODY_NONE, .trailers = asked >> 2 & 1,
                                     .interims = asked >> 3 & 1, .upgrades = asked >> 4 & 1 };
    if (proxy_begin(proxy, upstream, &request, 1, &exchange) < 0)
        __builtin_trap();
    turn_until(NET_CONNECTED);
    return exchange;
}

static void take(struct outcome *o)
{
    struct proxy_event event;
    while (proxy_event_next(proxy, &event)) {
        if (o->ending)
            __builtin_trap(); /* something after the last event */
        if (event.kind == PROXY_HEAD && (o->status || event.status < 101 || event.head->bytes == 0))
            __builtin_trap();
        if (event.kind == PROXY_HEAD)
            o->status = event.status;
        o->interims += event.kind == PROXY_INTERIM;
        o->trailers += event.kind == PROXY_TRAILERS;
        for (uint32_t i = 0; event.kind == PROXY_CONTENT && i < event.count; i++)
            o->hash = (o->hash ^ (uint8_t)event.bytes[i]) * 16777619u;
        o->count += event.kind == PROXY_CONTENT ? event.count : 0;
        if (event.kind == PROXY_END || event.kind == PROXY_FAILED || event.kind == PROXY_BROKEN)
            o->ending = event.kind;
    }
}

static struct outcome run(uint8_t asked, const char *wire, uint32_t count, uint32_t piece)
{
    static char lent[(1 << 16) + 64];
    struct outcome o = { 0 };
    struct proxy_facts facts;
    uint32_t exchange = begin(asked);
    int peer = accept(listener, NULL, NULL);
    char request[512];
    ssize_t got = 0;
    net_turn(net, 0);
    if (peer >= 0)
        got = read(peer, request, sizeof request);
    if (got <= 0 || net_turn(net, 0) < 0)
        __builtin_trap();
    for (uint32_t at = 0; at < count; at += piece) {
        uint32_t bytes = count - at < piece ? count - at : piece;
        struct net_event event = { .kind = NET_BYTES, .role = ROLE_UPSTREAM, .conn = connection.conn, .owner = connection.owner, .count = bytes };
        event.bytes = lent;
        memcpy(lent, wire + at, bytes);
        proxy_on_net(proxy, &event);
        take(&o);
    }
    proxy_facts(proxy, &facts);
    o.kept = facts.idle;
    const struct net_event end = { .kind = NET_END, .role = ROLE_UPSTREAM, .conn = connection.conn, .owner = connection.owner };
    proxy_on_net(proxy, &end);
    take(&o);
    if (!o.ending)
        __builtin_trap();
    proxy_abort(proxy, exchange); /* nothing: it has ended */
    close(peer);
    turn_until(NET_CLOSED);
    proxy_facts(proxy, &facts);
    if (facts.exchanges || facts.connections)
        __builtin_trap();
    return o;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 3 || size > 1 << 15)
        return 0;
    if (!net)
        begin_all();
    uint32_t count = (uint32_t)size - 2, piece = data[0] ? data[0] : count - 1;
    struct outcome whole = run(data[1], (const char *)data + 2, count, count), cut = run(data[1], (const char *)data + 2, count, piece ? piece : 1);
    if (memcmp(&whole, &cut, sizeof whole) != 0)
        __builtin_trap();
    return 0;
}
