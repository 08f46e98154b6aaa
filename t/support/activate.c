/* Starts a program as a service manager does that holds its ports (sd_listen_fds(3)):
 *
 *   activate PORT|PATH… -- COMMAND [WORD…]
 *
 * Listens on 127.0.0.1:PORT (0: a free one, printed as "port N") or on a unix socket, hands the sockets down from descriptor 3 on. */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int listen_on(const char *where)
{
    struct sockaddr_un local = { .sun_family = AF_UNIX };
    struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(where)), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int is_path = *where == '/';
    int fd = socket(is_path ? AF_UNIX : AF_INET, SOCK_STREAM, 0);
    snprintf(local.sun_path, sizeof local.sun_path, "%s", where);
    struct sockaddr *address = is_path ? (struct sockaddr *)&local : (struct sockaddr *)&v4;
    socklen_t bytes = is_path ? sizeof local : sizeof v4;
    if (fd < 0 || bind(fd, address, bytes) < 0 || listen(fd, 128) < 0) {
        perror(where);
        exit(1);
    }
    if (!is_path && getsockname(fd, address, &bytes) == 0)
        printf("port %u\n", ntohs(v4.sin_port));
    return fd;
}

int main(int argc, char **argv)
{
    int at = 1, count = 0;
    char number[16];
    for (; at < argc && strcmp(argv[at], "--") != 0; at++, count++) {
        int fd = listen_on(argv[at]);
        if (fd != 3 + count && (dup2(fd, 3 + count) < 0 || close(fd) < 0))
            return 1;
    }
    if (at + 1 >= argc)
        return 2;
    fflush(stdout);
    snprintf(number, sizeof number, "%d", count);
    setenv("LISTEN_FDS", number, 1);
    snprintf(number, sizeof number, "%ld", (long)getpid());
    setenv("LISTEN_PID", number, 1);
    execv(argv[at + 1], argv + at + 1);
    perror(argv[at + 1]);
    return 1;
}
