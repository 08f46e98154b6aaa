/* Paths and how they are opened. */
#include "file/root.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>

enum { INDEX_ROOM = 256 };

int file_root_open(const char *folder)
{
    int fd = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

uint64_t file_open_flags(void)
{
    return O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY; /* a FIFO must not make us wait for its writer */
}

uint64_t file_open_resolve(enum file_links links)
{
    if (links == FILE_LINKS_ANYWHERE)
        return RESOLVE_NO_MAGICLINKS;
    return RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | (links == FILE_LINKS_NEVER ? RESOLVE_NO_SYMLINKS : 0);
}

int file_public_error(int error)
{
    switch (error) {
    case -ENOTDIR:
    case -ENAMETOOLONG:
    case -ENXIO:
    case -ENODEV:
        return -ENOENT;
    case -EXDEV: /* out of the root */
    case -ELOOP:
    case -EPERM:
        return -EACCES;
    default:
        return error;
    }
}

static int segment_check(const char *segment, uint32_t bytes, int first, int hidden)
{
    if (bytes == 0)
        return -ENOENT;
    if (segment[0] != '.')
        return 0;
    if (bytes == 1 || (bytes == 2 && segment[1] == '.'))
        return -EACCES;
    return hidden || (first && bytes == 11 && memcmp(segment, ".well-known", 11) == 0) ? 0 : -ENOENT;
}

int file_path_check(const char *path, uint32_t bytes, int hidden)
{
    if (bytes >= FILE_PATH_BYTES_MAX - INDEX_ROOM)
        return -ENAMETOOLONG;
    if (bytes && memchr(path, 0, bytes))
        return -EACCES;
    int result = 0;
    for (uint32_t at = 0; at < bytes;) {
        const char *slash = memchr(path + at, '/', bytes - at);
        uint32_t end = slash ? (uint32_t)(slash - path) : bytes;
        int error = segment_check(path + at, end - at, at == 0, hidden);
        if (error == -EACCES)
            return error; /* the graver one, wherever it stands */
        if (error)
            result = error;
        at = end + 1;
    }
    return result;
}
