/* Folders to serve from and the files in them. Comes in: a root and a decoded, relative path. Goes out: an open descriptor and what
 * identifies its content. The kernel keeps the path below the root (openat2(2), RESOLVE_BENEATH); the checks here come first. */
#pragma once
#include "base/slice.h"

enum { FILE_PATH_BYTES_MAX = 4096 };

struct file_entry {
    int fd;            /* the caller's to close */
    uint64_t size;
    int64_t mtime_s;
    uint32_t mtime_ns;
    uint64_t device, inode;
    int64_t changed_s; /* ctime */
    uint32_t changed_ns;
    struct slice type; /* by the file's name; never ends */
};

/* A descriptor of the folder (O_PATH), or -errno. A link that is swapped later does not move it. */
int file_root_open(const char *folder);

/* Is this a path that may be opened? 0; -ENOENT: an empty segment, or one that begins with a dot (".well-known" may come first,
 * RFC 8615); -EACCES: NUL, "." or ".."; -ENAMETOOLONG. A trailing '/' and the empty path mean a folder. */
int file_path_check(const char *path, uint32_t bytes);

/* Opens a regular file; of a folder written with a trailing '/' (or of the empty path) its index.html. 0, and the caller owns ret_entry->fd.
 * -ENOENT: nothing to be seen there; -EISDIR: a folder, written without the '/'; -EACCES: not allowed, outside the root, or not
 * a regular file; other errors are this machine's (-EMFILE, -EIO, …). Symbolic links may be followed while they stay below the root. */
int file_open(int root, const char *path, uint32_t bytes, struct file_entry *ret_entry);

/* Is the file still the one that was opened, as far as the file system can tell? To be asked after reading a small file whole. */
int file_is_unchanged(const struct file_entry *entry);
