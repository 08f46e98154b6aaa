/* An origin of tunnels: answers the first request of each connection with 101 and then says nothing more.
 *     tunnels PORT */
#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

static const char SWITCH[] = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";

int main(int argc, char **argv)
{
    if (argc < 2)
        return fprintf(stderr, "usage: tunnels PORT\n"), 2;
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    int listener = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[1])), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (bind(listener, (const struct sockaddr *)&at, sizeof(at)) != 0 || listen(listener, 1024) != 0)
        return perror("tunnels"), 1;
    for (;;) {
        char request[4096];
        int fd = accept(listener, NULL, NULL);
        struct pollfd ready = { fd, POLLIN, 0 };
        if (fd < 0 || poll(&ready, 1, 2000) <= 0 || recv(fd, request, sizeof(request), 0) <= 0 || send(fd, SWITCH, sizeof(SWITCH) - 1, MSG_NOSIGNAL) < 0)
            close(fd); /* what is open stays so until the program is ended */
    }
}
