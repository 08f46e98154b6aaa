/* Sockets by number, matched by what they are bound to. */
#include "proc/inherit.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

const char inherit_variable[] = "MOONGATE_INHERIT";

enum { FIRST = 3 /* SD_LISTEN_FDS_START */ };

static struct {
    int fd; /* -1: taken */
    char text[ADDRESS_TEXT_BYTES]; /* "": not known */
} sockets[INHERIT_MAX];
static int count;

static bool listens(int fd)
{
    int type = 0, accepting = 0;
    socklen_t bytes = sizeof type;
    return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &bytes) == 0 && type == SOCK_STREAM &&
           getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &accepting, &bytes) == 0 && accepting;
}

static void add(int fd, const char *text)
{
    if (count == INHERIT_MAX || !listens(fd)) {
        close(fd);
        return;
    }
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    sockets[count].fd = fd;
    snprintf(sockets[count++].text, sizeof sockets->text, "%s", text);
}

static void from_manager(void)
{
    const char *fds = getenv("LISTEN_FDS"), *pid = getenv("LISTEN_PID");
    long most = fds ? strtol(fds, NULL, 10) : 0;
    bool ours = pid && strtol(pid, NULL, 10) == (long)getpid();
    for (int fd = FIRST; ours && most <= INHERIT_MAX && fd < FIRST + most; fd++)
        add(fd, "");
    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_FDNAMES");
}

/* Lines "WORD NUMBER [TEXT]". */
static void read_line(char *line, struct inheritance *ret_before)
{
    char word[16], text[ADDRESS_TEXT_BYTES] = "";
    int number;
    if (sscanf(line, "%15s %d %127[^\n]", word, &number, text) < 2)
        return;
    if (strcmp(word, "socket") == 0)
        add(number, text);
    else if (strcmp(word, "generation") == 0)
        ret_before->generation = (uint32_t)number;
    else if (strcmp(word, "lock") == 0)
        ret_before->lock = number;
    else if (strcmp(word, "control") == 0)
        ret_before->control = number;
    else if (strcmp(word, "stores") == 0)
        ret_before->stores = number;
    else if (strcmp(word, "changes") == 0)
        ret_before->changes = number;
    else if (strcmp(word, "tell") == 0)
        ret_before->tell = number;
    else if (strcmp(word, "errors") == 0)
        ret_before->errors = number;
}

static void from_before(struct inheritance *ret_before)
{
    const char *variable = getenv(inherit_variable);
    int fd = variable ? atoi(variable) : -1;
    FILE *list = fd > STDERR_FILENO ? fdopen(fd, "r") : NULL;
    char line[ADDRESS_TEXT_BYTES + 64];
    unsetenv(inherit_variable);
    if (!list)
        return;
    rewind(list);
    while (fgets(line, sizeof line, list))
        read_line(line, ret_before);
    fclose(list);
    const int others[] = { ret_before->lock, ret_before->control, ret_before->stores, ret_before->changes, ret_before->tell, ret_before->errors };
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (others[i] >= 0)
            fcntl(others[i], F_SETFD, FD_CLOEXEC);
}

int inherit_init(struct inheritance *ret_before)
{
    *ret_before = (struct inheritance){ -1, -1, -1, -1, -1, -1, 0 };
    from_manager();
    from_before(ret_before);
    return count;
}

int inherit_write(const struct inheritance *before, const struct inherited_socket *list, uint32_t sockets_count)
{
    int fd = memfd_create("moongate-inherit", 0);
    if (fd < 0)
        return -errno;
    dprintf(fd, "lock %d\ncontrol %d\nstores %d\nchanges %d\ntell %d\nerrors %d\ngeneration %u\n", before->lock, before->control, before->stores,
            before->changes, before->tell, before->errors, before->generation);
    for (uint32_t i = 0; i < sockets_count; i++)
        dprintf(fd, "socket %d %s\n", list[i].fd, list[i].text);
    return fd;
}

static bool bound_to(int fd, struct address *ret_address)
{
    ret_address->bytes = sizeof ret_address->local;
    return getsockname(fd, &ret_address->any, &ret_address->bytes) == 0;
}

/* Both families at once is an IPv6 socket that takes IPv4, too. */
static bool takes_both(int fd)
{
    int only = 1;
    socklen_t bytes = sizeof only;
    return getsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, &bytes) == 0 && !only;
}

static bool is_at(int fd, const struct address *address)
{
    struct address own;
    if (!bound_to(fd, &own) || own.any.sa_family != address->any.sa_family)
        return false;
    if (address->kind == ADDRESS_UNIX)
        return strcmp(own.local.sun_path, address->local.sun_path) == 0;
    if (address->kind == ADDRESS_V4)
        return own.v4.sin_port == address->v4.sin_port && own.v4.sin_addr.s_addr == address->v4.sin_addr.s_addr;
    return own.v6.sin6_port == address->v6.sin6_port && memcmp(&own.v6.sin6_addr, &address->v6.sin6_addr, sizeof own.v6.sin6_addr) == 0 &&
           takes_both(fd) == (address->kind == ADDRESS_BOTH);
}

int inherit_take(const struct address *address, bool *ret_ours)
{
    for (int i = 0; i < count; i++) {
        int fd = sockets[i].fd;
        if (fd < 0 || (strcmp(sockets[i].text, address->text) != 0 && !is_at(fd, address)))
            continue;
        sockets[i].fd = -1;
        *ret_ours = *sockets[i].text != 0;
        return fd;
    }
    return -1;
}

int inherit_drop(char *ret_text, unsigned bytes)
{
    int dropped = 0;
    unsigned used = 0;
    *ret_text = 0;
    for (int i = 0; i < count; i++) {
        struct address own = { .kind = ADDRESS_V4 };
        char url[ADDRESS_TEXT_BYTES] = "?";
        if (sockets[i].fd < 0)
            continue;
        if (bound_to(sockets[i].fd, &own)) {
            own.kind = own.any.sa_family == AF_UNIX ? ADDRESS_UNIX : own.any.sa_family == AF_INET6 ? ADDRESS_V6 : ADDRESS_V4;
            address_url(&own, url);
        }
        if (used < bytes)
            used += (unsigned)snprintf(ret_text + used, bytes - used, "%s%s", dropped ? ", " : "", url);
        close(sockets[i].fd);
        sockets[i].fd = -1;
        dropped++;
    }
    return dropped;
}
