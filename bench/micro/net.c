/* Instructions of the room net for one request and its answer (receive, event, write, send). Needs valgrind. From the top:
 *   cc -O2 -g -std=gnu11 -D_GNU_SOURCE -Isrc -o /tmp/bench-net bench/micro/net.c src/net/[a-z]*.c src/base/[a-z]*.c -luring -lm -lpthread
 *   valgrind --tool=callgrind --callgrind-out-file=/dev/null --toggle-collect=measured /tmp/bench-net
 * and divide "Collected" by what it prints. MOONGATE_ENGINE=epoll takes the other engine.
 * 64 connections, each with one request at a time. */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/net.h"

enum { PEERS = 64, ROUNDS = 500, BYTES = 100 };

static char request[BYTES], answer[BYTES];

__attribute__((noinline)) int measured(struct net *net, int want);

/* Turns until so many requests are answered. */
__attribute__((noinline)) int measured(struct net *net, int want)
{
    struct net_event event;
    int answered = 0;
    while (answered < want) {
        net_turn(net, 1);
        while (net_event_next(net, &event))
            if (event.kind == NET_BYTES) {
                conn_deadline(net, event.conn, 60000);
                conn_write(net, event.conn, answer, BYTES);
                answered++;
            }
    }
    return net_turn(net, 0); /* the last ones are sent */
}

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

int main(void)
{
    char message[512];
    struct net_options options = { .connections = PEERS * 2, .buffer_bytes = 1 << 22, .stall_ms = 30000 };
    struct net *net = net_new(&options, message, sizeof message);
    if (!net)
        fail(message);
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t bytes = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), peers[PEERS];
    if (bind(listener, (struct sockaddr *)&address, bytes) < 0 || listen(listener, PEERS) < 0)
        fail("listen");
    getsockname(listener, (struct sockaddr *)&address, &bytes);
    net_listen(net, listener, 0);
    for (int i = 0; i < PEERS; i++) {
        peers[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (connect(peers[i], (struct sockaddr *)&address, bytes) < 0)
            fail("connect");
    }
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < PEERS; i++)
            if (write(peers[i], request, BYTES) != BYTES)
                fail("write");
        measured(net, PEERS);
        for (int i = 0; i < PEERS; i++)
            if (recv(peers[i], answer, BYTES, MSG_WAITALL) != BYTES)
                fail("read");
    }
    printf("%d requests\n", PEERS * ROUNDS);
    net_free(net);
    return 0;
}
