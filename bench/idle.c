/* Idle connections: opens them, has one request answered on each, says "ready", and keeps them open until its standard input ends.
 *     idle PORT COUNT [PATH]      with a path: it is asked to become a tunnel (WebSocket), and must do so */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

static char request[512] = "GET / HTTP/1.1\r\nHost: bench\r\n\r\n";
static const char *expected = "HTTP/1.1 ";

static int fail(const char *what)
{
    perror(what);
    return 1;
}

/* One connection with one answered request; 0, or -1 with errno. */
static int open_one(const struct sockaddr_in *to)
{
    char answer[4096];
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0 || connect(fd, (const struct sockaddr *)to, sizeof(*to)) != 0)
        return -1;
    if (send(fd, request, strlen(request), MSG_NOSIGNAL) < 0)
        return -1;
    ssize_t got = recv(fd, answer, sizeof(answer), 0);
    return got > 16 && memcmp(answer, expected, strlen(expected)) == 0 ? 0 : -1;
}

int main(int argc, char **argv)
{
    if (argc < 3)
        return fprintf(stderr, "usage: idle PORT COUNT [PATH]\n"), 2;
    if (argc > 3) {
        snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: bench\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", argv[3]);
        expected = "HTTP/1.1 101";
    }
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    struct sockaddr_in to = { .sin_family = AF_INET,
                              .sin_port = htons((uint16_t)atoi(argv[1])),
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    for (long n = atol(argv[2]); n > 0; n--)
        if (open_one(&to) != 0)
            return fail("idle");
    puts("ready");
    fflush(stdout);
    char byte;
    while (read(STDIN_FILENO, &byte, 1) > 0)
        ;
    return 0;
}
