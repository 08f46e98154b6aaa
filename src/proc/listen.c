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
#include "proc/inherit.h"

static void set(int fd, int level, int option, int value)
{
    setsockopt(fd, level, option, &value, sizeof value);
}

/* A TCP socket, bound; `shared`: beside others of ours. The descriptor or -errno. */
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
    if (bind(fd, &address->any, address->bytes) < 0) {
        int failed = -errno;
        close(fd);
        return failed;
    }
    return fd;
}

static bool has(const struct listeners *listeners, const struct listener *listener)
{
    for (uint32_t i = 0; i < listeners->count; i++)
        if (listeners->list[i] == listener)
            return true;
    return false;
}

/* Whether an address of ours with this port goes away in this change, and no other stays with it: the new one may take its place. */
static bool port_becomes_free(const struct listeners *current, const struct listeners *next, uint16_t port)
{
    bool goes = false;
    for (uint32_t i = 0; i < current->count; i++) {
        const struct listener *listener = current->list[i];
        if (listener->address.kind == ADDRESS_UNIX || address_port(&listener->address) != port)
            continue;
        if (has(next, listener))
            return false;
        goes = true;
    }
    for (uint32_t i = 0; i < next->count; i++)
        if (next->list[i]->opened && next->list[i]->address.kind != ADDRESS_UNIX && address_port(&next->list[i]->address) == port)
            return false;
    return goes;
}

static int open_alone(struct address *address, bool shared)
{
    int fd = open_tcp(address, shared);
    if (fd >= 0 && listen(fd, LISTEN_BACKLOG) < 0) {
        int failed = -errno;
        close(fd);
        return failed;
    }
    return fd;
}

/* The first socket of an address, and the port it got. */
static int open_first(const struct listeners *current, const struct listeners *next, struct address *address)
{
    int fd = open_alone(address, false);
    if (address->kind == ADDRESS_BOTH && (fd == -EAFNOSUPPORT || fd == -EADDRNOTAVAIL)) {
        address_fall_back(address); /* no IPv6 here */
        fd = open_alone(address, false);
    }
    if (fd == -EADDRINUSE && port_becomes_free(current, next, address_port(address)))
        fd = open_alone(address, true);
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

/* The port that a socket really has. 0 or -errno. */
static int read_port(int fd, struct address *address)
{
    socklen_t bytes = sizeof address->local;
    if (getsockname(fd, &address->any, &bytes) < 0)
        return -errno;
    address->bytes = bytes;
    return 0;
}

/* Sockets of this address that were handed to us are its first. They listen already. */
static int adopt(struct listener *listener)
{
    bool ours = false;
    struct stat made;
    for (int fd; listener->opened < LISTEN_SLOTS_MAX && (fd = inherit_take(&listener->address, &ours)) >= 0; listener->opened++) {
        listener->fds[listener->opened] = fd;
        set(fd, SOL_SOCKET, SO_REUSEPORT, 1); /* so that those of further slots find their place beside it */
    }
    listener->listening = listener->opened;
    if (listener->opened && listener->address.kind != ADDRESS_UNIX)
        return read_port(listener->fds[0], &listener->address);
    if (listener->opened && ours && lstat(listener->address.local.sun_path, &made) == 0)
        listener->file = made.st_ino;
    return 0;
}

static int open_tcp_slots(const struct listeners *current, const struct listeners *next, struct listener *listener, uint32_t slots)
{
    bool adopted = listener->opened > 0 && listener->slots == 0;
    for (; listener->opened < slots && !listener->shared; listener->opened++) {
        bool first = listener->opened == 0;
        int fd = first ? open_first(current, next, &listener->address) : open_tcp(&listener->address, true);
        if (fd == -EADDRINUSE && adopted) { /* the socket is another user's: the slots share it */
            listener->shared = true;
            return 0;
        }
        if (fd < 0)
            return fd;
        listener->fds[listener->opened] = fd;
        listener->listening += first;
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

static int open_listener(const struct listeners *current, const struct listeners *next, struct listener *listener, uint32_t slots,
                         char *ret_holder)
{
    int failed = listener->opened ? 0 : adopt(listener);
    if (failed)
        return failed;
    if (listener->address.kind != ADDRESS_UNIX)
        return open_tcp_slots(current, next, listener, slots);
    listener->shared = true;
    if (listener->opened)
        return 0;
    int fd = open_unix(&listener->address, ret_holder, &listener->file);
    if (fd < 0)
        return fd;
    listener->fds[0] = fd;
    listener->opened = listener->listening = 1;
    return 0;
}

static void explain_in_use(const struct address *address, char *holder, char *ret_problem)
{
    char self[24];
    if (address->kind != ADDRESS_UNIX)
        holder_find(address, holder);
    snprintf(self, sizeof self, "(pid %ld)", (long)getpid());
    if (strstr(holder, self))
        snprintf(ret_problem, LISTEN_PROBLEM_BYTES, "listen %s: given twice, or covered by another address of the same port", address->text);
    else
        snprintf(ret_problem, LISTEN_PROBLEM_BYTES, "listen %s: address already in use%s%s", address->text, *holder ? " by " : "", holder);
}

static void explain(const struct address *address, int failed, char *holder, char *ret_problem)
{
    uint16_t port = address_port(address);
    if (failed == -EADDRINUSE)
        explain_in_use(address, holder, ret_problem);
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

/* Removes the file of a unix socket, unless somebody else has put his there. */
static void remove_file(const struct address *address, uint64_t file)
{
    struct stat found;
    if (file && lstat(address->local.sun_path, &found) == 0 && found.st_ino == file)
        unlink(address->local.sun_path);
}

/* Closes the sockets of the slots from `from` on. */
static void close_slots(struct listener *listener, uint32_t from)
{
    for (uint32_t slot = from; slot < listener->opened; slot++)
        close(listener->fds[slot]);
    if (listener->opened > from)
        listener->opened = from;
    if (listener->listening > from)
        listener->listening = from;
}

static void listener_free(struct listener *listener)
{
    close_slots(listener, 0);
    remove_file(&listener->address, listener->file);
    free(listener);
}

/* The same as it was written, or as it is. Port 0 as written twice is two ports. */
static bool is_same(const struct address *a, const struct address *b)
{
    return strcmp(a->text, b->text) == 0 ||
           (a->kind == b->kind && a->bytes == b->bytes && memcmp(&a->any, &b->any, a->bytes) == 0);
}

/* One of `current` for this address that `next` does not have yet. */
static struct listener *find_kept(const struct listeners *current, const struct listeners *next, const struct address *address)
{
    for (uint32_t i = 0; i < current->count; i++)
        if (is_same(&current->list[i]->address, address) && !has(next, current->list[i]))
            return current->list[i];
    return NULL;
}

/* Numbers are given once. */
static uint32_t next_number(void)
{
    static uint32_t given;
    given += LISTEN_SLOTS_MAX;
    return given - LISTEN_SLOTS_MAX;
}

static struct listener *listener_new(const struct address *address)
{
    struct listener *listener = calloc(1, sizeof *listener);
    if (listener) {
        listener->address = *address;
        listener->number = next_number();
    }
    return listener;
}

int listeners_open(const struct listeners *current, const struct address *addresses, uint32_t count, uint32_t slots,
                   struct listeners *ret_next, char *ret_problem)
{
    char holder[HOLDER_BYTES] = "";
    int failed = 0;
    *ret_next = (struct listeners){ 0 };
    for (uint32_t i = 0; i < count; i++) {
        struct listener *kept = find_kept(current, ret_next, &addresses[i]);
        ret_next->list[i] = kept ? kept : listener_new(&addresses[i]);
        if (!ret_next->list[i]) {
            snprintf(ret_problem, LISTEN_PROBLEM_BYTES, "listen: no memory");
            failed = -ENOMEM;
            break;
        }
        ret_next->count++;
    }
    for (uint32_t i = 0; i < count && !failed; i++) {
        failed = open_listener(current, ret_next, ret_next->list[i], slots, holder);
        if (failed)
            explain(&ret_next->list[i]->address, failed, holder, ret_problem);
    }
    if (failed)
        listeners_abandon(current, ret_next);
    return failed;
}

int listeners_listen(struct listeners *next, char *ret_problem)
{
    char holder[HOLDER_BYTES] = "";
    for (uint32_t i = 0; i < next->count; i++) {
        struct listener *listener = next->list[i];
        for (; listener->listening < listener->opened; listener->listening++) {
            if (listen(listener->fds[listener->listening], LISTEN_BACKLOG) == 0)
                continue;
            int failed = -errno;
            explain(&listener->address, failed, holder, ret_problem);
            return failed;
        }
    }
    return 0;
}

void listeners_commit(struct listeners *current, struct listeners *next)
{
    for (uint32_t i = 0; i < current->count; i++)
        if (!has(next, current->list[i]))
            listener_free(current->list[i]);
    for (uint32_t i = 0; i < next->count; i++)
        next->list[i]->slots = next->list[i]->opened;
    *current = *next;
    *next = (struct listeners){ 0 };
}

void listeners_abandon(const struct listeners *current, struct listeners *next)
{
    for (uint32_t i = 0; i < next->count; i++)
        if (has(current, next->list[i]))
            close_slots(next->list[i], next->list[i]->slots);
        else
            listener_free(next->list[i]);
    *next = (struct listeners){ 0 };
}

uint32_t listeners_of(const struct listeners *listeners, uint32_t slot, uint32_t workers, bool in_use, struct listen_socket *ret_sockets)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < listeners->count; i++) {
        const struct listener *listener = listeners->list[i];
        uint32_t slots = in_use ? listener->slots : listener->opened;
        for (uint32_t at = listener->shared && slots ? slot % slots : slot; at < slots; at += workers) {
            if (count < LISTEN_OF_WORKER_MAX)
                ret_sockets[count] = (struct listen_socket){ listener->number + at, listener->fds[at] };
            count++;
        }
    }
    return count;
}

uint32_t listeners_beyond(const struct listeners *next, const struct listeners *current)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < next->count; i++)
        count += !has(current, next->list[i]);
    return count;
}

uint32_t listeners_descriptors(const struct listeners *listeners)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < listeners->count; i++)
        count += listeners->list[i]->opened;
    return count;
}

void listeners_close(struct listeners *listeners)
{
    for (uint32_t i = 0; i < listeners->count; i++)
        listener_free(listeners->list[i]);
    *listeners = (struct listeners){ 0 };
}
