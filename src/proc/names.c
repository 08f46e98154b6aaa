/* Names, the runtime folder, and who owns a name. */
#include "proc/names.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { CLAIM_ATTEMPTS = 10, CONTROL_BACKLOG = 256 };

/* What helps where a container has nothing to write to. */
static const char *cure_of(int error)
{
    return error == EROFS
             ? "; set MOONGATE_RUNTIME_DIR to a folder that can be written (in a container: --tmpfs /tmp -e MOONGATE_RUNTIME_DIR=/tmp/moongate)"
             : "";
}

/* Whether `folder` is there (made when it is not), ours, and has none of the `forbidden` bits of others in its mode. */
static bool folder_is_ours(const char *folder, mode_t forbidden, char *ret_problem)
{
    struct stat found;
    if (mkdir(folder, 0700) < 0 && errno != EEXIST) {
        snprintf(ret_problem, NAMES_PROBLEM_BYTES, "runtime folder %s: %s%s", folder, strerror(errno), cure_of(errno));
        return false;
    }
    if (lstat(folder, &found) < 0 || !S_ISDIR(found.st_mode) || found.st_uid != geteuid() || (found.st_mode & forbidden)) {
        snprintf(ret_problem, NAMES_PROBLEM_BYTES,
                 "runtime folder %s: not a folder of this user that is closed to others; remove it, or set MOONGATE_RUNTIME_DIR", folder);
        return false;
    }
    return true;
}

static bool folder_fits(char *ret_folder, const char *base, const char *rest)
{
    return snprintf(ret_folder, NAMES_FOLDER_BYTES, "%s%s", base, rest) < NAMES_FOLDER_BYTES;
}

bool names_folder(char ret_folder[NAMES_FOLDER_BYTES], char ret_problem[NAMES_PROBLEM_BYTES])
{
    const char *asked = getenv("MOONGATE_RUNTIME_DIR"), *user = getenv("XDG_RUNTIME_DIR");
    if (asked && *asked) {
        if (folder_fits(ret_folder, asked, ""))
            return folder_is_ours(ret_folder, 022, ret_problem);
        snprintf(ret_problem, NAMES_PROBLEM_BYTES, "MOONGATE_RUNTIME_DIR: at most %d bytes", NAMES_FOLDER_BYTES - 1);
        return false;
    }
    if (geteuid() == 0 && folder_fits(ret_folder, "/run", "/moongate") && folder_is_ours(ret_folder, 022, ret_problem))
        return true;
    if (geteuid() != 0 && user && *user == '/' && folder_fits(ret_folder, user, "/moongate") &&
        folder_is_ours(ret_folder, 022, ret_problem))
        return true;
    snprintf(ret_folder, NAMES_FOLDER_BYTES, "/tmp/moongate-%u", (unsigned)geteuid());
    return folder_is_ours(ret_folder, 077, ret_problem);
}

void name_clean(const char *text, char ret_name[NAME_BYTES])
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    uint32_t i = 0;
    for (; text[i] && i < NAME_BYTES - 1; i++)
        ret_name[i] = strchr(allowed, text[i]) ? text[i] : '-';
    ret_name[i] = 0;
    if (*ret_name == '.' || *ret_name == '-')
        *ret_name = '_';
    if (i == 0)
        strcpy(ret_name, "moongate");
}

void name_of_path(const char *path, char ret_name[NAME_BYTES])
{
    char last[NAME_BYTES + 4];
    size_t end = strlen(path);
    while (end && path[end - 1] == '/')
        end--;
    size_t from = end;
    while (from && path[from - 1] != '/')
        from--;
    snprintf(last, sizeof last, "%.*s", (int)(end - from < NAME_BYTES ? end - from : NAME_BYTES), path + from);
    size_t bytes = strlen(last);
    if (bytes > 4 && strcmp(last + bytes - 4, ".lua") == 0)
        last[bytes - 4] = 0;
    name_clean(last, ret_name);
}

static bool socket_path(const char *folder, const char *name, char ret_path[108])
{
    return snprintf(ret_path, 108, "%s/%s.sock", folder, name) < 108;
}

/* The lock of a name, written with our pid; it goes with the process, however that ends. -EWOULDBLOCK: somebody else has it. */
static bool lock_sign(int fd)
{
    return lseek(fd, 0, SEEK_SET) == 0 && ftruncate(fd, 0) == 0 && dprintf(fd, "%ld\n", (long)getpid()) > 0;
}

static int lock_take(const char *path)
{
    for (int attempt = 0; attempt < CLAIM_ATTEMPTS; attempt++) {
        struct stat named, ours;
        int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0)
            return -errno;
        if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
            int failed = -errno;
            close(fd);
            return failed;
        }
        /* The last owner may have removed the file between our open and our lock: then we hold a lock that nobody sees. */
        if (fstat(fd, &ours) == 0 && stat(path, &named) == 0 && ours.st_ino == named.st_ino) {
            if (!lock_sign(fd)) {
                close(fd);
                return -EIO;
            }
            return fd;
        }
        close(fd);
    }
    return -EAGAIN;
}

static int listener_open(const char *path)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    strcpy(address.sun_path, path);
    unlink(path); /* we hold the lock: whoever made it is dead */
    mode_t before = umask(0177);
    int failed = bind(fd, (struct sockaddr *)&address, sizeof address) < 0 ? -errno : 0;
    umask(before);
    if (!failed && listen(fd, CONTROL_BACKLOG) < 0)
        failed = -errno;
    if (!failed)
        return fd;
    close(fd);
    return failed;
}

static long lock_owner(const char *path)
{
    long pid = 0;
    FILE *file = fopen(path, "re");
    if (file && fscanf(file, "%ld", &pid) != 1)
        pid = 0;
    if (file)
        fclose(file);
    return pid;
}

/* A claim without anything taken yet. 0 or -errno. */
static int claim_init(struct claim *claim, const char *folder, const char *name, char *ret_problem)
{
    *claim = (struct claim){ .lock = -1, .listener = -1 };
    snprintf(claim->name, sizeof claim->name, "%s", name);
    snprintf(claim->lock_path, sizeof claim->lock_path, "%s/%s.lock", folder, name);
    if (socket_path(folder, name, claim->socket_path))
        return 0;
    snprintf(ret_problem, NAMES_PROBLEM_BYTES, "%s/%.64s.sock: longer than the 107 bytes of a unix socket's path", folder, name);
    return -ENAMETOOLONG;
}

int claim_take(struct claim *ret_claim, const char *folder, const char *name, char ret_problem[NAMES_PROBLEM_BYTES])
{
    struct claim *claim = ret_claim;
    int failed = claim_init(claim, folder, name, ret_problem);
    if (failed)
        return failed;
    claim->lock = lock_take(claim->lock_path);
    if (claim->lock == -EWOULDBLOCK) {
        claim->lock = -1;
        snprintf(ret_problem, NAMES_PROBLEM_BYTES,
                 "an instance named \"%s\" is already running (pid %ld): stop it, or give this one another --name", name,
                 lock_owner(claim->lock_path));
        return -EEXIST;
    }
    failed = claim->lock < 0 ? claim->lock : 0;
    if (!failed) {
        claim->listener = listener_open(claim->socket_path);
        failed = claim->listener < 0 ? claim->listener : 0;
    }
    if (failed) {
        snprintf(ret_problem, NAMES_PROBLEM_BYTES, "%s: %s%s", claim->socket_path, strerror(-failed), cure_of(-failed));
        claim_release(claim);
    }
    return failed;
}

int claim_adopt(struct claim *ret_claim, const char *folder, const char *name, int lock, int listener, char ret_problem[NAMES_PROBLEM_BYTES])
{
    int failed = claim_init(ret_claim, folder, name, ret_problem);
    if (failed)
        return failed;
    ret_claim->lock = lock;
    ret_claim->listener = listener;
    return 0;
}

/* Whoever connects is told the process that has listened last (SO_PEERCRED, unix(7)). */
void claim_sign(const struct claim *claim)
{
    lock_sign(claim->lock);
    listen(claim->listener, CONTROL_BACKLOG);
}

void claim_let_go(struct claim *claim)
{
    if (claim->listener >= 0)
        close(claim->listener);
    if (claim->lock >= 0)
        close(claim->lock);
    claim->lock = claim->listener = -1;
}

void claim_release(struct claim *claim)
{
    if (claim->listener >= 0) {
        unlink(claim->socket_path);
        close(claim->listener);
    }
    if (claim->lock >= 0) {
        unlink(claim->lock_path);
        close(claim->lock);
    }
    claim->lock = claim->listener = -1;
}

int instance_connect(const char *folder, const char *name)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    if (!socket_path(folder, name, address.sun_path))
        return -ENOENT;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0)
        return fd;
    int failed = -errno;
    close(fd);
    return failed;
}

uint32_t instances_list(const char *folder, char (*ret_names)[NAME_BYTES])
{
    uint32_t count = 0;
    DIR *entries = opendir(folder);
    for (struct dirent *entry; entries && count < NAMES_LISTED_MAX && (entry = readdir(entries));) {
        size_t bytes = strlen(entry->d_name);
        if (bytes <= 5 || bytes - 5 >= NAME_BYTES || strcmp(entry->d_name + bytes - 5, ".sock") != 0)
            continue;
        memcpy(ret_names[count], entry->d_name, bytes - 5);
        ret_names[count][bytes - 5] = 0;
        int fd = instance_connect(folder, ret_names[count]);
        if (fd >= 0)
            close(fd);
        count += fd >= 0 || fd == -EAGAIN;
    }
    if (entries)
        closedir(entries);
    return count;
}
