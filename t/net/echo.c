/* An echo server over net/net.h and its clients, in one process: do all bytes come back, in order, to the connection they came from?
 * Few lent buffers, many connections that all send at once, pauses at any moment, clients that leave in the middle and others that
 * get the number of those who left. Exit 0: all of it held; else the first thing that did not is on standard error.
 *
 *   echo [CONNECTIONS [LENT_BUFFERS [BYTES_EACH]]] */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "net/net.h"

enum { PIECE_MAX = 9001, QUEUED_MAX = 40000, SECONDS_MAX = 20, LIVES = 3, RETRIES = 64 };

#define CHECK(claim, ...) ((claim) ? (void)0 : fail(#claim, __LINE__, __VA_ARGS__))

static void fail(const char *claim, int line, unsigned who, long long at)
{
    fprintf(stderr, "echo.c:%d: not so: %s (connection %u, byte %lld)\n", line, claim, who, at);
    exit(1);
}

static uint32_t random_next(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*state >> 33);
}

/* Byte `at` of the stream of one life of one client: a function, so that nobody need remember what was sent. */
static char stream_byte(uint32_t seed, uint32_t at)
{
    uint32_t x = (at >> 2) * 2654435761u ^ seed * 2246822519u;
    x ^= x >> 15;
    x *= 2654435761u;
    return (char)(x >> (8 + 6 * (at & 3)));
}

/* ---- clients: plain non-blocking sockets ---- */

struct client {
    int fd;
    uint32_t seed, sent, got, life;
    bool ended;
};

static struct sockaddr_in server_address;
static uint32_t connections = 200, lent_buffers = 8, bytes_each = 60000;
static uint64_t chance = 42;

/* So that sends are short, and wait for room. */
static void small_buffer(int fd, int which)
{
    int bytes = 4096;
    CHECK(setsockopt(fd, SOL_SOCKET, which, &bytes, sizeof bytes) == 0, which, errno);
}

static void client_open(struct client *client, uint32_t number, uint32_t life)
{
    *client = (struct client){ .fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), .seed = life * 100003 + number, .life = life };
    CHECK(client->fd >= 0, number, errno);
    small_buffer(client->fd, SO_RCVBUF);
    CHECK(connect(client->fd, (struct sockaddr *)&server_address, sizeof server_address) == 0, number, errno);
    fcntl(client->fd, F_SETFL, O_NONBLOCK);
}

static void client_send(struct client *client)
{
    char bytes[PIECE_MAX];
    uint32_t count = 1 + random_next(&chance) % (random_next(&chance) % 4 ? 700 : PIECE_MAX);
    if (count > bytes_each - client->sent)
        count = bytes_each - client->sent;
    for (uint32_t i = 0; i < count; i++)
        bytes[i] = stream_byte(client->seed, client->sent + i);
    ssize_t taken = send(client->fd, bytes, count, MSG_NOSIGNAL);
    CHECK(taken >= 0 || errno == EAGAIN, client->seed, errno);
    if (taken > 0)
        client->sent += (uint32_t)taken;
    if (client->sent == bytes_each)
        shutdown(client->fd, SHUT_WR);
}

static void client_receive(struct client *client)
{
    char bytes[PIECE_MAX];
    ssize_t count = recv(client->fd, bytes, 1 + random_next(&chance) % PIECE_MAX, 0);
    CHECK(count >= 0 || errno == EAGAIN, client->seed, errno);
    client->ended = count == 0;
    for (ssize_t i = 0; i < count; i++)
        CHECK(bytes[i] == stream_byte(client->seed, client->got + (uint32_t)i), client->seed, client->got + i);
    if (count > 0)
        client->got += (uint32_t)count;
}

/* One step; false when all its lives are over. */
static bool client_step(struct client *client, uint32_t number)
{
    if (client->fd < 0)
        return false;
    if (client->sent < bytes_each)
        client_send(client);
    if (random_next(&chance) % 3)
        client_receive(client);
    bool leaves = number % 8 == 7 && client->life + 1 < LIVES && client->got > bytes_each / 2;
    if (!client->ended && !leaves)
        return true;
    CHECK(leaves || (client->got == bytes_each && client->sent == bytes_each), client->seed, client->got);
    close(client->fd);
    client->fd = -1;
    if (client->life + 1 < LIVES)
        client_open(client, number, client->life + 1);
    return true;
}

/* ---- the server ---- */

static struct net *net;
static bool *is_open, *is_paused;
static uint32_t accepted, closed;

static void write_back(uint32_t conn, const char *bytes, uint32_t count)
{
    for (int tries = 0; tries < RETRIES; tries++) { /* only fault points refuse here */
        char *out = count % 2 ? conn_out(net, conn, count) : NULL;
        if (out) {
            memcpy(out, bytes, count);
            conn_out_commit(net, conn, count);
            return;
        }
        uint32_t before = conn_queued(net, conn);
        if (conn_write(net, conn, bytes, count) == 0)
            return;
        CHECK(conn_queued(net, conn) == before, conn, before);
    }
    fail("room for output", __LINE__, conn, count);
}

/* Pausing and resuming in all orders, also within one turn. */
static void vary_receiving(uint32_t conn)
{
    uint32_t dice = random_next(&chance) % 16;
    if (conn_queued(net, conn) > QUEUED_MAX) {
        conn_pause(net, conn);
        conn_notify_drained(net, conn, QUEUED_MAX / 2);
        return;
    }
    if (dice >= 4)
        return;
    conn_pause(net, conn);
    if (dice == 0)
        is_paused[conn] = true;
    else
        conn_resume(net, conn);
    if (dice == 1) {
        conn_pause(net, conn);
        conn_resume(net, conn);
    }
}

static void handle(const struct net_event *event)
{
    uint32_t conn = event->conn;
    switch ((enum net_event_kind)event->kind) {
    case NET_ACCEPTED:
        CHECK(!is_open[conn], conn, 0);
        is_open[conn] = true;
        accepted++;
        break;
    case NET_BYTES:
        CHECK(is_open[conn], conn, 0);
        write_back(conn, event->bytes, event->count);
        vary_receiving(conn);
        break;
    case NET_DRAINED:
        CHECK(conn_queued(net, conn) <= QUEUED_MAX / 2, conn, conn_queued(net, conn));
        conn_resume(net, conn);
        break;
    case NET_END:
        conn_close(net, conn, CLOSE_FLUSH);
        break;
    case NET_FAILED:
        conn_close(net, conn, CLOSE_NOW);
        break;
    case NET_CLOSED:
        CHECK(is_open[conn], conn, event->result);
        is_open[conn] = is_paused[conn] = false;
        closed++;
        break;
    default:
        fail("an event of these kinds", __LINE__, conn, event->kind);
    }
}

static void server_step(void)
{
    struct net_event event;
    CHECK(net_turn(net, 0) == 0, 0, 0);
    while (net_event_next(net, &event))
        handle(&event);
    for (uint32_t conn = 0; conn < net_conn_room(net); conn++)
        if (is_paused[conn] && random_next(&chance) % 4 == 0) {
            is_paused[conn] = false;
            conn_resume(net, conn);
        }
}

static int server_open(void)
{
    char message[512] = "";
    struct net_options options = { .connections = connections * 2, .buffer_bytes = 1 << 28, .lent_buffers = lent_buffers, .stall_ms = 60000 };
    net = net_new(&options, message, sizeof message);
    if (!net) {
        fprintf(stderr, "%s\n", message);
        exit(2);
    }
    is_open = calloc(net_conn_room(net), sizeof *is_open);
    is_paused = calloc(net_conn_room(net), sizeof *is_paused);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    socklen_t bytes = sizeof server_address;
    small_buffer(fd, SO_SNDBUF); /* inherited by what is accepted */
    server_address = (struct sockaddr_in){ .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    CHECK(bind(fd, (struct sockaddr *)&server_address, sizeof server_address) == 0, 0, errno);
    CHECK(listen(fd, 1024) == 0, 0, errno);
    getsockname(fd, (struct sockaddr *)&server_address, &bytes);
    CHECK(net_listen(net, fd, 0) == 0, 0, 0);
    return fd;
}

int main(int argc, char **argv)
{
    connections = argc > 1 ? (uint32_t)atoi(argv[1]) : connections;
    lent_buffers = argc > 2 ? (uint32_t)atoi(argv[2]) : lent_buffers;
    bytes_each = argc > 3 ? (uint32_t)atoi(argv[3]) : bytes_each;
    int listener = server_open();
    struct client *clients = calloc(connections, sizeof *clients);
    for (uint32_t i = 0; i < connections; i++)
        client_open(&clients[i], i, 0);
    time_t end = time(NULL) + SECONDS_MAX;
    bool running = true;
    while (running || closed < accepted) {
        running = false;
        for (uint32_t i = 0; i < connections; i++)
            running |= client_step(&clients[i], i);
        server_step();
        CHECK(time(NULL) < end, accepted, closed);
    }
    struct net_facts facts;
    net_facts(net, &facts);
    CHECK(accepted == connections * LIVES && facts.connections == 0, accepted, facts.connections);
    CHECK(facts.out_bytes == 0 && facts.timers == 0, facts.out_bytes, facts.timers);
    printf("accepted=%u no_buffers=%llu bytes_in=%llu bytes_out=%llu\n", accepted, (unsigned long long)facts.no_buffers,
           (unsigned long long)facts.bytes_in, (unsigned long long)facts.bytes_out);
    net_free(net);
    close(listener);
    free(clients);
    free(is_open);
    free(is_paused);
    return 0;
}
