/* A client that takes large answers without looking at them: the kernel drops the content where it is (MSG_TRUNC of tcp(7)), so that the load
 * costs next to nothing and the server is what is measured. One more connection, the neighbour, asks for something small again and again.
 *     sink PORT PATH CONNECTIONS SECONDS NEIGHBOUR_PATH
 * prints: sink answers=N bytes=N us=N errors=N neighbour=N p50=US p99=US max=US */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { CONNECTIONS_MAX = 1024, SAMPLES_MAX = 1 << 20, TAKE_BYTES = 1 << 20, EVENTS_MAX = 256 };

struct client {
    int fd;
    uint64_t left;      /* of the answer's content */
    uint64_t asked_ns;
    bool in_content;
};

static struct client clients[CONNECTIONS_MAX + 1]; /* the last one in use is the neighbour */
static uint32_t samples[SAMPLES_MAX];
static uint64_t answers, bytes, errors, neighbour_answers;
static char request[2][1024];
static int count, poll_fd;

static uint64_t now_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static void die(const char *what)
{
    fprintf(stderr, "sink: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void ask(struct client *client)
{
    const char *text = request[client == &clients[count]];
    client->in_content = false;
    client->asked_ns = now_ns();
    if (send(client->fd, text, strlen(text), MSG_NOSIGNAL) < 0)
        die("send");
}

static void answered(struct client *client)
{
    if (client != &clients[count]) {
        answers++;
    } else if (neighbour_answers < SAMPLES_MAX) {
        samples[neighbour_answers++] = (uint32_t)((now_ns() - client->asked_ns) / 1000);
    }
    ask(client);
}

/* Reads the head, byte for byte no further than its end: what follows is dropped unseen. 1: go on; 0: nothing is here. */
static int read_head(struct client *client)
{
    char peek[2048];
    ssize_t got = recv(client->fd, peek, sizeof peek - 1, MSG_PEEK | MSG_DONTWAIT);
    if (got <= 0)
        return got < 0 && errno == EAGAIN ? 0 : (errors++, -1);
    peek[got] = '\0';
    char *end = strstr(peek, "\r\n\r\n"), *length = strcasestr(peek, "\ncontent-length:");
    if (!end)
        return 0;
    if (!length || length > end || strncmp(peek, "HTTP/1.1 200", 12) != 0)
        return errors++, -1;
    if (recv(client->fd, peek, (size_t)(end + 4 - peek), 0) < 0)
        die("recv");
    client->left = strtoull(length + 16, NULL, 10);
    client->in_content = true;
    return 1;
}

static int drop_content(struct client *client)
{
    static char nothing[1];
    if (client->left > 0) {
        size_t most = client->left < TAKE_BYTES ? client->left : TAKE_BYTES;
        ssize_t got = recv(client->fd, nothing, most, MSG_TRUNC | MSG_DONTWAIT);
        if (got <= 0)
            return got < 0 && errno == EAGAIN ? 0 : (errors++, -1);
        client->left -= (uint64_t)got;
        bytes += (uint64_t)got;
    }
    if (client->left == 0)
        answered(client);
    return 1;
}

static void open_all(int port)
{
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int one = 1;
    poll_fd = epoll_create1(0);
    for (int i = 0; i <= count; i++) {
        struct epoll_event event = { .events = EPOLLIN, .data.ptr = &clients[i] };
        clients[i].fd = socket(AF_INET, SOCK_STREAM, 0);
        setsockopt(clients[i].fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        if (clients[i].fd < 0 || connect(clients[i].fd, (struct sockaddr *)&to, sizeof to) < 0)
            die("connect");
        if (epoll_ctl(poll_fd, EPOLL_CTL_ADD, clients[i].fd, &event) < 0)
            die("epoll_ctl");
        ask(&clients[i]);
    }
}

static int by_number(const void *a, const void *b)
{
    return (*(const uint32_t *)a > *(const uint32_t *)b) - (*(const uint32_t *)a < *(const uint32_t *)b);
}

int main(int argc, char **argv)
{
    if (argc < 6 || atoi(argv[3]) > CONNECTIONS_MAX)
        return fprintf(stderr, "usage: sink PORT PATH CONNECTIONS SECONDS NEIGHBOUR_PATH\n"), 2;
    count = atoi(argv[3]);
    snprintf(request[0], sizeof request[0], "GET %s HTTP/1.1\r\nHost: bench\r\n\r\n", argv[2]);
    snprintf(request[1], sizeof request[1], "GET %s HTTP/1.1\r\nHost: bench\r\n\r\n", argv[5]);
    open_all(atoi(argv[1]));
    uint64_t from = now_ns(), over = from + strtoull(argv[4], NULL, 10) * 1000000000u;
    struct epoll_event events[EVENTS_MAX];
    while (now_ns() < over) {
        int ready = epoll_wait(poll_fd, events, EVENTS_MAX, 1000);
        for (int i = 0; i < ready; i++) {
            struct client *client = events[i].data.ptr;
            int more = client->in_content ? drop_content(client) : read_head(client);
            if (more > 0 && client->in_content)
                more = drop_content(client);
            if (more < 0)
                epoll_ctl(poll_fd, EPOLL_CTL_DEL, client->fd, NULL);
        }
    }
    qsort(samples, neighbour_answers, sizeof *samples, by_number);
    uint64_t last = neighbour_answers ? neighbour_answers - 1 : 0;
    printf("sink answers=%llu bytes=%llu us=%llu errors=%llu neighbour=%llu p50=%u p99=%u max=%u\n", (unsigned long long)answers,
           (unsigned long long)bytes, (unsigned long long)(now_ns() - from) / 1000, (unsigned long long)errors, (unsigned long long)neighbour_answers,
           samples[neighbour_answers / 2], samples[neighbour_answers - neighbour_answers / 100 - (neighbour_answers > 0)], samples[last]);
    return 0;
}
