/* Opening below a root, and the checks before it. */
#include "file/root.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "file/mime.h"

enum { OPEN_TRIES = 4 };

static const char index_name[] = "index.html";

int file_root_open(const char *folder)
{
    int fd = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

/* ---- paths ---- */

static int segment_check(const char *segment, uint32_t bytes, int first)
{
    if (bytes == 0)
        return -ENOENT;
    if (segment[0] != '.')
        return 0;
    if (bytes == 1 || (bytes == 2 && segment[1] == '.'))
        return -EACCES;
    return first && bytes == 11 && memcmp(segment, ".well-known", 11) == 0 ? 0 : -ENOENT;
}

int file_path_check(const char *path, uint32_t bytes)
{
    if (bytes >= FILE_PATH_BYTES_MAX - sizeof index_name)
        return -ENAMETOOLONG;
    if (bytes && memchr(path, 0, bytes))
        return -EACCES;
    int result = 0;
    for (uint32_t at = 0; at < bytes;) {
        const char *slash = memchr(path + at, '/', bytes - at);
        uint32_t end = slash ? (uint32_t)(slash - path) : bytes;
        int error = segment_check(path + at, end - at, at == 0);
        if (error == -EACCES)
            return error; /* the graver one, wherever it stands */
        if (error)
            result = error;
        at = end + 1;
    }
    return result;
}

/* ---- opening ---- */

/* What the outside may know about an error of opening. */
static int public_error(int error)
{
    switch (error) {
    case ENOTDIR:
    case ENAMETOOLONG:
    case ENXIO:
        return -ENOENT;
    case EXDEV: /* out of the root */
    case ELOOP:
    case EPERM:
        return -EACCES;
    default:
        return -error;
    }
}

static int open_beneath(int root, const char *path)
{
    const struct open_how how = {
        .flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, /* a FIFO must not make us wait for its writer */
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS,
    };
    for (int tries = 0;; tries++) {
        long fd = syscall(SYS_openat2, root, path, &how, sizeof how);
        if (fd >= 0)
            return (int)fd;
        /* EAGAIN: something was renamed while the kernel walked, so it cannot vouch for the result */
        if ((errno != EAGAIN && errno != EINTR) || tries == OPEN_TRIES)
            return public_error(errno);
    }
}

static void describe(const struct stat *st, struct file_entry *ret)
{
    ret->size = (uint64_t)st->st_size;
    ret->mtime_s = st->st_mtim.tv_sec;
    ret->mtime_ns = (uint32_t)st->st_mtim.tv_nsec;
    ret->device = st->st_dev;
    ret->inode = st->st_ino;
    ret->changed_s = st->st_ctim.tv_sec;
    ret->changed_ns = (uint32_t)st->st_ctim.tv_nsec;
}

/* Looks at what was opened, not at what a path means meanwhile. */
static int examine(int fd, struct file_entry *ret)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return -errno;
    if (S_ISDIR(st.st_mode))
        return -EISDIR;
    if (!S_ISREG(st.st_mode))
        return -EACCES;
    describe(&st, ret);
    /* with O_NONBLOCK some file systems would answer a read that is not in memory with EAGAIN */
    return fcntl(fd, F_SETFL, 0) < 0 ? -errno : 0;
}

int file_open(int root, const char *path, uint32_t bytes, struct file_entry *ret_entry)
{
    char whole[FILE_PATH_BYTES_MAX];
    int error = file_path_check(path, bytes);
    if (error)
        return error == -ENAMETOOLONG ? -ENOENT : error;
    if (bytes)
        memcpy(whole, path, bytes);
    int folder = bytes == 0 || path[bytes - 1] == '/';
    memcpy(whole + bytes, folder ? index_name : "", folder ? sizeof index_name : 1);
    int fd = open_beneath(root, whole);
    if (fd < 0)
        return fd;
    struct file_entry entry = { .fd = fd, .type = mime_type(whole, (uint32_t)strlen(whole)) };
    error = examine(fd, &entry);
    if (error) {
        close(fd);
        return error == -EISDIR && folder ? -ENOENT : error; /* a folder named index.html */
    }
    *ret_entry = entry;
    return 0;
}

int file_is_unchanged(const struct file_entry *entry)
{
    struct stat st;
    struct file_entry now;
    if (fstat(entry->fd, &st) < 0)
        return 0;
    describe(&st, &now);
    return now.size == entry->size && now.mtime_s == entry->mtime_s && now.mtime_ns == entry->mtime_ns && now.inode == entry->inode &&
           now.device == entry->device && now.changed_s == entry->changed_s && now.changed_ns == entry->changed_ns;
}
