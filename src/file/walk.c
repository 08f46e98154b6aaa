/* Following a path with a stack of open directories. */
#include "file/walk.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

enum { DEPTH_MAX = 128, LINKS_MAX = 40, REST_BYTES = 3 * FILE_PATH_BYTES_MAX };

/* File systems that other machines or programs change without our kernel knowing. Those that linux/magic.h lacks by number. */
static const uint32_t eventless[] = {
    NFS_SUPER_MAGIC, SMB_SUPER_MAGIC, 0xff534d42 /* CIFS */, 0xfe534d42 /* SMB2 */, 0x65735546 /* FUSE */, V9FS_MAGIC,
    CEPH_SUPER_MAGIC, AFS_SUPER_MAGIC, CODA_SUPER_MAGIC, 0x47504653 /* GPFS */, 0x0bd00bd0 /* Lustre */, PROC_SUPER_MAGIC, SYSFS_MAGIC,
};

struct walk {
    struct file_watch *watch;
    struct file_target *target;
    struct file_place *place;
    enum file_links links;
    int content;          /* what it ends at may be a file: its content matters, too */
    int stack[DEPTH_MAX]; /* open directories; the first is the caller's root, or a copy that may be left upwards */
    int depth, links_left;
    const char *at;       /* what is left of the path */
    char rest[REST_BYTES];
};

static int top(const struct walk *walk)
{
    return walk->stack[walk->depth];
}

static void pop_all(struct walk *walk)
{
    while (walk->depth >= 0)
        close(walk->stack[walk->depth--]);
}

static int push(struct walk *walk, int fd)
{
    if (walk->depth + 1 == DEPTH_MAX) {
        close(fd);
        return -ENAMETOOLONG;
    }
    walk->stack[++walk->depth] = fd;
    return 0;
}

static void uncover(struct walk *walk, int why)
{
    walk->place->uncovered = 1;
    if (why != 0 || walk->place->why == 0)
        walk->place->why = why;
}

static void check_events(struct walk *walk, int fd)
{
    struct statfs fs;
    if (fstatfs(fd, &fs) < 0)
        return;
    for (uint32_t i = 0; i < sizeof eventless / sizeof *eventless; i++)
        if ((uint32_t)fs.f_type == eventless[i])
            uncover(walk, 0);
}

static int up(struct walk *walk)
{
    if (walk->depth > 0) {
        close(walk->stack[walk->depth--]);
        return 0;
    }
    if (walk->links != FILE_LINKS_ANYWHERE)
        return -EXDEV;
    int fd = openat(top(walk), "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    close(top(walk));
    walk->stack[0] = fd;
    return 0;
}

static int begin_at_slash(struct walk *walk)
{
    if (walk->links != FILE_LINKS_ANYWHERE)
        return -EXDEV;
    int fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    pop_all(walk);
    return push(walk, fd);
}

/* The target of a link goes in front of what is left. */
static int follow(struct walk *walk, int link)
{
    char text[REST_BYTES];
    if (walk->links == FILE_LINKS_NEVER || walk->links_left-- == 0)
        return -ELOOP;
    ssize_t bytes = readlinkat(link, "", text, FILE_PATH_BYTES_MAX);
    if (bytes <= 0 || bytes == FILE_PATH_BYTES_MAX)
        return bytes < 0 ? -errno : -ENAMETOOLONG;
    size_t left = strlen(walk->at); /* "" or "/…" */
    if ((size_t)bytes + left + 1 > sizeof text)
        return -ENAMETOOLONG;
    memcpy(text + bytes, walk->at, left + 1);
    memcpy(walk->rest, text, (size_t)bytes + left + 1);
    walk->at = walk->rest;
    return text[0] == '/' ? begin_at_slash(walk) : 0;
}

/* One name further: 0, and the place is what stands there. */
static int step(struct walk *walk, const char *name, size_t bytes, bool last)
{
    char text[NAME_MAX + 1];
    struct stat st;
    if (bytes > NAME_MAX)
        return -ENOENT;
    memcpy(text, name, bytes);
    text[bytes] = '\0';
    int error = file_watch_add(walk->watch, top(walk), (struct slice){ text, (uint32_t)bytes }, last && walk->content, walk->target);
    if (error)
        uncover(walk, error);
    int fd = openat(top(walk), text, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    if (fstat(fd, &st) < 0) {
        close(fd);
        return -EIO;
    }
    if (S_ISLNK(st.st_mode)) {
        error = follow(walk, fd);
        close(fd);
        return error;
    }
    if (st.st_dev != walk->place->device)
        check_events(walk, fd);
    walk->place->device = st.st_dev;
    walk->place->inode = st.st_ino;
    walk->place->mode = st.st_mode;
    if (S_ISDIR(st.st_mode))
        return push(walk, fd);
    close(fd);
    return last ? 0 : -ENOTDIR;
}

static int steps(struct walk *walk)
{
    for (;;) {
        while (*walk->at == '/')
            walk->at++;
        if (!*walk->at)
            return 0;
        const char *name = walk->at;
        size_t bytes = strcspn(name, "/");
        walk->at += bytes;
        int error = 0;
        if (bytes == 2 && memcmp(name, "..", 2) == 0)
            error = up(walk);
        else if (bytes != 1 || *name != '.')
            error = step(walk, name, bytes, *walk->at == '\0');
        if (error)
            return error;
    }
}

int file_walk(struct file_watch *watch, int root, const char *path, enum file_links links, int content, struct file_target *target,
              struct file_place *ret_place)
{
    struct walk walk = { .watch = watch, .target = target, .place = ret_place, .links = links, .content = content, .depth = -1, .links_left = LINKS_MAX };
    struct stat st;
    size_t bytes = strlen(path);
    if (bytes >= FILE_PATH_BYTES_MAX)
        return -ENAMETOOLONG;
    memcpy(walk.rest, path, bytes + 1);
    walk.at = walk.rest;
    *ret_place = (struct file_place){ 0 };
    int first = path[0] == '/' ? open("/", O_PATH | O_DIRECTORY | O_CLOEXEC) : fcntl(root, F_DUPFD_CLOEXEC, 0);
    if (first < 0)
        return -errno;
    if (fstat(first, &st) == 0)
        *ret_place = (struct file_place){ .device = st.st_dev, .inode = st.st_ino, .mode = st.st_mode };
    push(&walk, first);
    check_events(&walk, first);
    int error = steps(&walk);
    pop_all(&walk);
    return error;
}
