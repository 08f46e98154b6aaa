/* Finds the process behind a listening socket: address → inode in /proc/net/tcp and tcp6 → the process with that descriptor. */
#include "proc/holder.h"

#include <dirent.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proc/clock.h"

enum { SEARCH_MS = 500, TCP_LISTEN_STATE = 0x0a };

struct search {
    uint32_t words[4]; /* the address as the kernel's table prints it */
    uint32_t word_count;
    uint32_t port;
    unsigned long inode; /* found */
    unsigned user;
};

static bool is_any(const uint32_t *words, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        if (words[i] && !(i == 2 && words[2] == htonl(0xffff)))
            return false;
    return true;
}

/* Two listeners are in each other's way when their addresses are equal or one takes all. A mapped IPv4 address ends in its own word. */
static bool overlaps(const struct search *search, const uint32_t *words, uint32_t count)
{
    if (is_any(words, count) || is_any(search->words, search->word_count))
        return true;
    if (count == search->word_count)
        return memcmp(words, search->words, count * sizeof *words) == 0;
    return words[count - 1] == search->words[search->word_count - 1];
}

/* Reads one line of the table; false when the listening sockets, which come first, are over. */
static bool search_line(struct search *search, const char *line)
{
    char address[33];
    unsigned port, state, user;
    unsigned long inode;
    int fields = sscanf(line, " %*d: %32[0-9A-F]:%x %*[0-9A-F]:%*x %x %*x:%*x %*x:%*x %*x %u %*d %lu", address, &port, &state,
                        &user, &inode);
    if (fields != 5)
        return true;
    if (state != TCP_LISTEN_STATE)
        return false;
    uint32_t words[4], count = (uint32_t)strlen(address) / 8;
    for (uint32_t i = 0; i < count; i++) {
        char digits[9] = "";
        memcpy(digits, address + 8 * i, 8);
        words[i] = (uint32_t)strtoul(digits, NULL, 16);
    }
    if (count && port == search->port && overlaps(search, words, count)) {
        search->inode = inode;
        search->user = user;
    }
    return search->inode == 0;
}

static void search_table(struct search *search, const char *path)
{
    char line[512];
    FILE *file = fopen(path, "re");
    if (!file)
        return;
    if (fgets(line, sizeof line, file)) /* the heading */
        while (fgets(line, sizeof line, file) && search_line(search, line))
            continue;
    fclose(file);
}

static bool process_holds(const char *pid, const char *link)
{
    char path[300], target[64];
    snprintf(path, sizeof path, "/proc/%.20s/fd", pid);
    DIR *folder = opendir(path);
    if (!folder)
        return false;
    bool found = false;
    for (struct dirent *entry; !found && (entry = readdir(folder));) {
        ssize_t bytes = readlinkat(dirfd(folder), entry->d_name, target, sizeof target - 1);
        if (bytes > 0) {
            target[bytes] = 0;
            found = strcmp(target, link) == 0;
        }
    }
    closedir(folder);
    return found;
}

/* The process with the lowest pid that has the socket: of master and workers, the master. 0: none that may be looked into. */
static long search_processes(unsigned long inode)
{
    char link[40];
    snprintf(link, sizeof link, "socket:[%lu]", inode);
    DIR *folder = opendir("/proc");
    if (!folder)
        return 0;
    int64_t until = clock_ms() + SEARCH_MS;
    long found = 0;
    for (struct dirent *entry; (entry = readdir(folder)) && clock_ms() < until;) {
        long pid = strtol(entry->d_name, NULL, 10);
        if (pid > 0 && (!found || pid < found) && process_holds(entry->d_name, link))
            found = pid;
    }
    closedir(folder);
    return found;
}

static void describe(long pid, char *buffer)
{
    char path[40], name[40] = "";
    snprintf(path, sizeof path, "/proc/%ld/comm", pid);
    FILE *file = fopen(path, "re");
    if (file && fgets(name, sizeof name, file))
        name[strcspn(name, "\n")] = 0;
    if (file)
        fclose(file);
    snprintf(buffer, HOLDER_BYTES, "%s (pid %ld)", *name ? name : "a process", pid);
}

void holder_find(const struct address *address, char *buffer)
{
    struct search search = { .port = address_port(address) };
    *buffer = 0;
    if (address->any.sa_family == AF_INET) {
        search.word_count = 1;
        search.words[0] = address->v4.sin_addr.s_addr;
    } else {
        search.word_count = 4;
        memcpy(search.words, &address->v6.sin6_addr, sizeof search.words);
    }
    search_table(&search, "/proc/net/tcp");
    if (!search.inode)
        search_table(&search, "/proc/net/tcp6");
    if (!search.inode)
        return;
    long pid = search_processes(search.inode);
    if (pid) {
        describe(pid, buffer);
    } else {
        struct passwd *user = getpwuid(search.user);
        snprintf(buffer, HOLDER_BYTES, "a process of user %.60s", user ? user->pw_name : "unknown");
    }
}

void holder_of_peer(int fd, char *buffer)
{
    struct ucred peer;
    socklen_t bytes = sizeof peer;
    *buffer = 0;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &bytes) == 0 && peer.pid > 0)
        describe(peer.pid, buffer);
}
