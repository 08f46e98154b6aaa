/* Opens listening sockets. An address is ours alone: SO_REUSEPORT would let a second program of the same user in unseen, so the first
 * socket of an address listens without it (the kernel lets exactly one such listener in) and allows its siblings afterwards. */
#include "proc/listen.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proc/holder.h"

static void set(int fd, int level, int option, int value)
{
    setsockopt(fd, level, option, &value, sizeof value);
}

/* A TCP socket bound and listening; `shared`: beside others of ours. The descriptor or -errno. */
static int open_tcp(const struct address *address, bool shared)
{
    int fd = socket(address->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    set(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (shared)
        set(fd, SOL_SOCKET, SO_REUSEPORT, 1);
    if (address->any.sa_family == AF_INET6)
        set(fd, IPPROTO_IPV6, IPV6_V6ONLY, address->kind == ADDRESS_V6);
    set(fd, IPPROTO_TCP, TCP_NODELAY, 1); /* accepted sockets inherit it */
    if (bind(fd, &address->any, address->bytes) < 0 || listen(fd, LISTEN_BACKLOG) < 0) {
        int failed = -errno;
        close(fd);
        return failed;
    }
    return fd;
}

/* The first socket of an address, and the port it got. */
static int open_first(struct address *address)
{
    int fd = open_tcp(address, false);
    if (address->kind == ADDRESS_BOTH && (fd == -EAFNOSUPPORT || fd == -EADDRNOTAVAIL)) {
        address_fall_back(address); /* no IPv6 here */
        fd = open_tcp(address, false);
    }
    if (fd < 0)
        return fd;
    socklen_t bytes = address->bytes;
    if (getsockname(fd, &address->any, &bytes) < 0) {
        int failed = -errno;
        close(fd);
        return failed;
    }
    set(fd, SOL_SOCKET, SO_REUSEPORT, 1);
    return fd;
}

static int open_tcp_slots(struct listeners *listeners, uint32_t index)
{
    for (uint32_t slot = 0; slot < listeners->slots; slot++) {
        struct address *address = &listeners->addresses[index];
        int fd = slot == 0 ? open_first(address) : open_tcp(address, true);
        if (fd < 0)
            return fd;
        listeners->fds[slot * listeners->count + index] = fd;
    }
    return 0;
}

/* Takes away what a dead program left at the path of a unix socket. 0, or -errno with the holder's name. */
static int clear_path(const struct address *address, char *ret_holder)
{
    struct stat found;
    *ret_holder = 0;
    if (lstat(address->local.sun_path, &found) < 0)
        return errno == ENOENT ? 0 : -errno;
    if (!S_ISSOCK(found.st_mode))
        return -EEXIST;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    int failed = connect(fd, &address->any, address->bytes) < 0 ? errno : 0;
    if (!failed)
        holder_of_peer(fd, ret_holder);
    close(fd);
    if (failed != ECONNREFUSED)
        return failed == 0 || failed == EAGAIN ? -EADDRINUSE : -failed;
    return unlink(address->local.sun_path) < 0 ? -errno : 0;
}

static int open_unix(const struct address *address, char *ret_holder, uint64_t *ret_file)
{
    int failed = clear_path(address, ret_holder);
    if (failed)
        return failed;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    mode_t before = umask(0117); /* mode 0660 from the beginning */
    failed = bind(fd, &address->any, address->bytes) < 0 ? -errno : 0;
    umask(before);
    struct stat made;
    if (!failed && (listen(fd, LISTEN_BACKLOG) < 0 || lstat(address->local.sun_path, &made) < 0))
        failed = -errno;
    if (failed) {
        close(fd);
        return failed;
    }
    *ret_file = made.st_ino;
    return fd;
}

static int open_unix_slots(struct listeners *listeners, uint32_t index, char *ret_holder)
{
    int fd = open_unix(&listeners->addresses[index], ret_holder, &listeners->files[index]);
    if (fd < 0)
        return fd;
    for (uint32_t slot = 0; slot < listeners->slots; slot++)
        listeners->fds[slot * listeners->count + index] = fd;
    return 0;
}

static void explain_in_use(const struct listeners *listeners, uint32_t index, char *holder, char *ret_problem)
{
    const struct address *address = &listeners->addresses[index];
    char self[24];
    if (address->kind != ADDRESS_UNIX)
        holder_find(address, holder);
    snprintf(self, sizeof self, "(pid %ld)", (long)getpid());
    if (strstr(holder, self))
        snprintf(ret_problem, LISTEN_PROBLEM_BYTES, "listen %s: given twice, or covered by another address of the same port", address->text);
    else
        snprintf(ret_problem, LISTEN_PROBLEM_BYTES, "listen %s: address already in use%s%s", address->text, *holder ? " by " : "", holder);
}

static void explain(const struct listeners *listeners, uint32_t index, int failed, char *holder, char *ret_problem)
{
    const struct address *address = &listeners->addresses[index];
    uint16_t port = address_port(address);
    if (failed == -EADDRINUSE)
        explain_in_use(listeners, index, holder, ret_problem);
    else if (failed == -EACCES && address->kind != ADDRESS_UNIX)
        snprintf(ret_problem, LISTEN_PROBLEM_BYTES,
                 "listen %s: permission denied: a port this low needs CAP_NET_BIND_SERVICE (setcap cap_net_bind_service=+ep on the "
                 "program), or: sysctl net.ipv4.ip_unprivileged_port_start=%u", address->text, port);
    else if (failed == -EADDRNOTAVAIL)
        snprintf(ret_problem, LISTEN_PROBLEM_BYTES, "listen %s: this machine has no such address", address->text);
    else if (failed == -EEXIST)
        snprintf(ret_problem, LISTEN_PROBLEM_BYTES, "listen %s: the file exists and is not a socket", address->text);
    else if (failed == -ENOENT && address->kind == ADDRESS_UNIX)
        snprintf(ret_problem, LISTEN_PROBLEM_BYTES, "listen %s: the folder of the socket does not exist", address->text);
    else if (failed == -EACCES)
        snprintf(ret_problem, LISTEN_PROBLEM_BYTES, "listen %s: permission denied: we may not write to the folder of the socket",
                 address->text);
    else
        snprintf(ret_problem, LISTEN_PROBLEM_BYTES, "listen %s: %s", address->text, strerror(-failed));
}

static int allocate(struct listeners *listeners, const struct address *addresses, uint32_t count, uint32_t slots)
{
    *listeners = (struct listeners){ .count = count, .slots = slots };
    listeners->addresses = calloc(count, sizeof *addresses);
    listeners->fds = malloc((size_t)count * slots * sizeof *listeners->fds);
    listeners->files = calloc(count, sizeof *listeners->files);
    if (!listeners->addresses || !listeners->fds || !listeners->files)
        return -ENOMEM;
    memcpy(listeners->addresses, addresses, count * sizeof *addresses);
    for (uint32_t i = 0; i < count * slots; i++)
        listeners->fds[i] = -1;
    return 0;
}

int listeners_open(struct listeners *ret_listeners, const struct address *addresses, uint32_t count, uint32_t slots,
                   char *ret_problem)
{
    char holder[HOLDER_BYTES] = "";
    int failed = allocate(ret_listeners, addresses, count, slots);
    if (failed)
        snprintf(ret_problem, LISTEN_PROBLEM_BYTES, "listen: no memory");
    for (uint32_t i = 0; i < count && !failed; i++) {
        bool local = addresses[i].kind == ADDRESS_UNIX;
        failed = local ? open_unix_slots(ret_listeners, i, holder) : open_tcp_slots(ret_listeners, i);
        if (failed)
            explain(ret_listeners, i, failed, holder, ret_problem);
    }
    if (failed)
        listeners_close(ret_listeners);
    return failed;
}

const int *listeners_of(const struct listeners *listeners, uint32_t slot)
{
    return listeners->fds + (size_t)slot * listeners->count;
}

/* Removes the file of a unix socket, unless somebody else has put his there. */
static void remove_file(const struct address *address, uint64_t file)
{
    struct stat found;
    if (file && lstat(address->local.sun_path, &found) == 0 && found.st_ino == file)
        unlink(address->local.sun_path);
}

void listeners_close(struct listeners *listeners)
{
    bool whole = listeners->addresses && listeners->fds && listeners->files;
    for (uint32_t i = 0; whole && i < listeners->count; i++) {
        bool local = listeners->addresses[i].kind == ADDRESS_UNIX;
        for (uint32_t slot = 0; slot < (local ? 1 : listeners->slots); slot++)
            if (listeners->fds[slot * listeners->count + i] >= 0)
                close(listeners->fds[slot * listeners->count + i]);
        remove_file(&listeners->addresses[i], listeners->files[i]);
    }
    free(listeners->addresses);
    free(listeners->fds);
    free(listeners->files);
    *listeners = (struct listeners){ 0 };
}
