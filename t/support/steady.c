/* Keep-alive clients under full load that count what goes wrong, for specs of what must never be noticed (reloads, upgrades):
 *
 *   steady PORT CONNECTIONS SECONDS [PATH]
 *
 * Each connection asks, reads the answer and asks again; it begins anew when it was closed. Ends after the time, or at the end of its
 * standard input, with one line:
 *
 *   answers=N errors=N refused=N closed=N silent=N odd=N p50=US p99=US most=US bodies=A:N,B:N
 *
 * closed: an answer said so ("Connection: close"), and was whole; silent: the connection ended between two requests, without a word; errors: it
 * ended, or was reset, after a request was sent and before its answer was whole; odd: a status other than 200. Bodies are counted as text. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { CONNECTIONS_MAX = 1024, BODIES_MAX = 64, INPUT_MAX = 4096, BUCKETS = 200000 /* of 5 µs: a second */, BUCKET_US = 5 };

struct client {
    int fd;
    bool asked; /* its request is on its way */
    uint32_t bytes;
    double began;
    char input[INPUT_MAX + 1];
};

static struct client clients[CONNECTIONS_MAX];
static struct {
    char text[64];
    uint64_t count;
} bodies[BODIES_MAX];
static uint64_t answers, errors, refused, closed, silent, odd;
static uint32_t buckets[BUCKETS];
static double most;
static char request[512];
static int epoll;
static struct sockaddr_in to;

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e6 + (double)time.tv_nsec / 1e3;
}

static void count_body(const char *text, uint32_t bytes)
{
    if (bytes >= sizeof bodies->text)
        bytes = sizeof bodies->text - 1;
    for (int i = 0; i < BODIES_MAX; i++) {
        if (bodies[i].count == 0) {
            memcpy(bodies[i].text, text, bytes);
            bodies[i].text[bytes] = 0;
        }
        if (strlen(bodies[i].text) == bytes && memcmp(bodies[i].text, text, bytes) == 0) {
            bodies[i].count++;
            return;
        }
    }
    odd++;
}

static void ask(struct client *client)
{
    client->asked = true;
    client->bytes = 0;
    client->began = now();
    if (send(client->fd, request, strlen(request), MSG_NOSIGNAL) < 0)
        client->bytes = 0; /* its end is read next */
}

static void begin(struct client *client)
{
    client->fd = socket(AF_INET, SOCK_STREAM, 0);
    client->asked = false;
    if (client->fd < 0 || connect(client->fd, (struct sockaddr *)&to, sizeof to) < 0) {
        refused++;
        if (client->fd >= 0)
            close(client->fd);
        client->fd = -1;
        return;
    }
    fcntl(client->fd, F_SETFL, O_NONBLOCK);
    struct epoll_event event = { .events = EPOLLIN, .data.ptr = client };
    epoll_ctl(epoll, EPOLL_CTL_ADD, client->fd, &event);
    ask(client);
}

static void again(struct client *client)
{
    close(client->fd);
    begin(client);
}

static void measure(const struct client *client)
{
    double us = now() - client->began;
    uint32_t bucket = us / BUCKET_US < BUCKETS ? (uint32_t)(us / BUCKET_US) : BUCKETS - 1;
    buckets[bucket]++;
    if (us > most)
        most = us;
}

/* A whole answer is there: 1; not yet: 0; something else: -1. */
static int take_answer(struct client *client)
{
    client->input[client->bytes] = 0;
    char *end = strstr(client->input, "\r\n\r\n");
    char *length = end ? strcasestr(client->input, "\r\ncontent-length:") : NULL;
    if (!end)
        return client->bytes == INPUT_MAX ? -1 : 0;
    if (!length || length > end)
        return -1;
    uint32_t body = (uint32_t)strtoul(length + 17, NULL, 10), head = (uint32_t)(end + 4 - client->input);
    if (head + body > INPUT_MAX)
        return -1;
    if (client->bytes < head + body)
        return 0;
    measure(client);
    answers++;
    odd += strncmp(client->input, "HTTP/1.1 200 ", 13) != 0;
    count_body(end + 4, body);
    client->asked = false;
    *end = 0;
    if (strcasestr(client->input, "\r\nconnection: close")) {
        closed++;
        again(client);
    } else {
        ask(client);
    }
    return 1;
}

static void read_more(struct client *client)
{
    ssize_t got = recv(client->fd, client->input + client->bytes, INPUT_MAX - client->bytes, 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0) {
        errors += client->asked;
        silent += !client->asked;
        again(client);
        return;
    }
    client->bytes += (uint32_t)got;
    if (take_answer(client) < 0) {
        errors++;
        again(client);
    }
}

static double percentile(double share)
{
    uint64_t sum = 0;
    for (int i = 0; i < BUCKETS; i++) {
        sum += buckets[i];
        if ((double)sum >= share * (double)answers)
            return (double)(i + 1) * BUCKET_US;
    }
    return most;
}

static bool input_ended(void)
{
    char byte;
    struct pollfd input = { STDIN_FILENO, POLLIN, 0 };
    return poll(&input, 1, 0) == 1 && read(STDIN_FILENO, &byte, 1) == 0;
}

int main(int argc, char **argv)
{
    if (argc < 4 || atoi(argv[2]) > CONNECTIONS_MAX) {
        fprintf(stderr, "usage: steady PORT CONNECTIONS SECONDS [PATH]\n");
        return 2;
    }
    int count = atoi(argv[2]);
    double until = now() + atof(argv[3]) * 1e6;
    to = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[1])), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: steady\r\n\r\n", argc > 4 ? argv[4] : "/");
    epoll = epoll_create1(0);
    for (int i = 0; i < count; i++)
        begin(&clients[i]);
    printf("begun\n");
    fflush(stdout);
    while (now() < until && !input_ended()) {
        struct epoll_event events[64];
        int ready = epoll_wait(epoll, events, 64, 50);
        for (int i = 0; i < ready; i++)
            read_more(events[i].data.ptr);
        for (int i = 0; i < count; i++)
            if (clients[i].fd < 0)
                begin(&clients[i]);
    }
    printf("answers=%llu errors=%llu refused=%llu closed=%llu silent=%llu odd=%llu p50=%.0f p99=%.0f most=%.0f bodies=", (unsigned long long)answers,
           (unsigned long long)errors, (unsigned long long)refused, (unsigned long long)closed, (unsigned long long)silent,
           (unsigned long long)odd, percentile(0.5), percentile(0.99), most);
    for (int i = 0; i < BODIES_MAX && bodies[i].count; i++)
        printf("%s%s:%llu", i ? "," : "", bodies[i].text, (unsigned long long)bodies[i].count);
    printf("\n");
    return 0;
}
