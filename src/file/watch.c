/* Watches and dependencies. A dependency is found by (watch, hash of the name): two names of one hash only make us look twice. A directory is
 * watched as long as somebody depends on a name in it. */
#include "file/watch.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "base/must.h"

enum { BUCKETS_FIRST = 1024, FOLDERS_FIRST = 256, EVENTS_BYTES = 65536, READS_MAX = 4, NO_FOLDER = -1 };

/* That a name means something else from now on. Added to what the directory is watched for already. */
static const uint32_t MASK_NAMES = IN_MOVED_FROM | IN_MOVED_TO | IN_CREATE | IN_DELETE | IN_ATTRIB | IN_ONLYDIR | IN_EXCL_UNLINK | IN_MASK_ADD;
/* That the content behind it does: MODIFY only says that something is going on. Folders on the way to a file are not watched for that: somebody
 * may be writing a log in one of them. */
static const uint32_t MASK_CONTENTS = IN_MODIFY | IN_CLOSE_WRITE;

struct file_dep {
    struct file_dep *next, **link; /* in the bucket */
    struct file_dep *sibling;      /* of the same target */
    struct file_target *target;
    uint32_t hash;
    int wd;
};

struct folder {
    int wd; /* NO_FOLDER: free */
    uint32_t uses;
};

struct file_watch {
    int fd; /* or -errno */
    struct file_dep **buckets, *spare;
    struct folder *folders; /* open addressing by wd */
    uint32_t bucket_count, folder_room, folder_count, dep_count;
    uint64_t events, overflows;
    char *buffer;
};

/* ---- birth and death ---- */

static struct folder *folders_new(uint32_t room)
{
    struct folder *folders = malloc(room * sizeof *folders);
    for (uint32_t i = 0; folders && i < room; i++)
        folders[i] = (struct folder){ NO_FOLDER, 0 };
    return folders;
}

struct file_watch *file_watch_new(void)
{
    struct file_watch *watch = calloc(1, sizeof *watch);
    if (!watch)
        return NULL;
    watch->fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (watch->fd < 0)
        watch->fd = -errno;
    watch->bucket_count = BUCKETS_FIRST;
    watch->folder_room = FOLDERS_FIRST;
    watch->buckets = calloc(watch->bucket_count, sizeof(struct file_dep *));
    watch->folders = folders_new(watch->folder_room);
    watch->buffer = malloc(EVENTS_BYTES);
    if (watch->buckets && watch->folders && watch->buffer)
        return watch;
    file_watch_free(watch);
    return NULL;
}

void file_watch_free(struct file_watch *watch)
{
    if (!watch)
        return;
    if (watch->fd >= 0)
        close(watch->fd);
    for (uint32_t i = 0; watch->buckets && i < watch->bucket_count; i++)
        for (struct file_dep *dep = watch->buckets[i], *next; dep; dep = next) {
            next = dep->next;
            free(dep);
        }
    for (struct file_dep *dep = watch->spare, *next; dep; dep = next) {
        next = dep->next;
        free(dep);
    }
    free(watch->buckets);
    free(watch->folders);
    free(watch->buffer);
    free(watch);
}

int file_watch_fd(const struct file_watch *watch)
{
    return watch->fd;
}

/* ---- directories by watch number ---- */

static struct folder *folder_slot(struct folder *folders, uint32_t room, int wd)
{
    uint32_t at = (uint32_t)wd * 2654435761u & (room - 1);
    while (folders[at].wd != wd && folders[at].wd != NO_FOLDER)
        at = (at + 1) & (room - 1);
    return &folders[at];
}

static int folders_grow(struct file_watch *watch)
{
    struct folder *more = folders_new(watch->folder_room * 2);
    if (!more)
        return -ENOMEM;
    for (uint32_t i = 0; i < watch->folder_room; i++)
        if (watch->folders[i].wd != NO_FOLDER)
            *folder_slot(more, watch->folder_room * 2, watch->folders[i].wd) = watch->folders[i];
    free(watch->folders);
    watch->folders = more;
    watch->folder_room *= 2;
    return 0;
}

static int folder_use(struct file_watch *watch, int wd)
{
    if (watch->folder_count * 2 >= watch->folder_room && folders_grow(watch) < 0)
        return -ENOMEM;
    struct folder *folder = folder_slot(watch->folders, watch->folder_room, wd);
    if (folder->wd == NO_FOLDER) {
        *folder = (struct folder){ wd, 0 };
        watch->folder_count++;
    }
    folder->uses++;
    return 0;
}

/* Takes a directory out of the table; those behind it that had to step aside move up. */
static void folder_remove(struct file_watch *watch, struct folder *folder)
{
    uint32_t at = (uint32_t)(folder - watch->folders);
    watch->folder_count--;
    folder->wd = NO_FOLDER;
    for (at = (at + 1) & (watch->folder_room - 1); watch->folders[at].wd != NO_FOLDER; at = (at + 1) & (watch->folder_room - 1)) {
        struct folder moved = watch->folders[at];
        watch->folders[at].wd = NO_FOLDER;
        *folder_slot(watch->folders, watch->folder_room, moved.wd) = moved;
    }
}

static void folder_leave(struct file_watch *watch, int wd)
{
    struct folder *folder = folder_slot(watch->folders, watch->folder_room, wd);
    must(folder->wd == wd && folder->uses > 0);
    if (--folder->uses > 0)
        return;
    folder_remove(watch, folder);
    inotify_rm_watch(watch->fd, wd); /* fails when the directory is gone: then the watch is, too */
}

/* ---- dependencies ---- */

static uint32_t hash_of(int wd, const char *name, uint32_t bytes)
{
    uint64_t hash = 0x9e3779b97f4a7c15u ^ (uint32_t)wd;
    for (uint32_t i = 0; i < bytes; i++)
        hash = (hash ^ (uint8_t)name[i]) * 0x100000001b3u;
    return (uint32_t)(hash ^ hash >> 32);
}

static void dep_link(struct file_watch *watch, struct file_dep *dep)
{
    struct file_dep **bucket = &watch->buckets[dep->hash & (watch->bucket_count - 1)];
    dep->next = *bucket;
    dep->link = bucket;
    if (dep->next)
        dep->next->link = &dep->next;
    *bucket = dep;
}

static void buckets_grow(struct file_watch *watch)
{
    struct file_dep **old = watch->buckets, **more = calloc(watch->bucket_count * 2, sizeof(struct file_dep *));
    if (!more)
        return; /* longer chains, nothing worse */
    uint32_t count = watch->bucket_count;
    watch->buckets = more;
    watch->bucket_count *= 2;
    for (uint32_t i = 0; i < count; i++)
        for (struct file_dep *dep = old[i], *next; dep; dep = next) {
            next = dep->next;
            dep_link(watch, dep);
        }
    free(old);
}

static struct file_dep *dep_get(struct file_watch *watch)
{
    struct file_dep *dep = watch->spare;
    if (!dep)
        return malloc(sizeof *dep);
    watch->spare = dep->next;
    return dep;
}

int file_watch_add(struct file_watch *watch, int folder, struct slice name, int content, struct file_target *target)
{
    if (watch->fd < 0)
        return watch->fd;
    char path[32];
    snprintf(path, sizeof path, "/proc/self/fd/%d", folder);
    int wd = inotify_add_watch(watch->fd, path, MASK_NAMES | (content ? MASK_CONTENTS : 0));
    if (wd < 0)
        return -errno;
    struct file_dep *dep = dep_get(watch);
    if (!dep || folder_use(watch, wd) < 0) {
        free(dep);
        return -ENOMEM;
    }
    if (watch->dep_count++ >= watch->bucket_count)
        buckets_grow(watch);
    *dep = (struct file_dep){ .target = target, .sibling = target->deps, .wd = wd, .hash = hash_of(wd, name.at, name.bytes) };
    target->deps = dep;
    dep_link(watch, dep);
    return 0;
}

void file_watch_give(struct file_target *from, struct file_target *to)
{
    while (from->deps) {
        struct file_dep *dep = from->deps;
        from->deps = dep->sibling;
        dep->target = to;
        dep->sibling = to->deps;
        to->deps = dep;
    }
}

void file_watch_forget(struct file_watch *watch, struct file_target *target)
{
    while (target->deps) {
        struct file_dep *dep = target->deps;
        target->deps = dep->sibling;
        *dep->link = dep->next;
        if (dep->next)
            dep->next->link = dep->link;
        folder_leave(watch, dep->wd);
        dep->next = watch->spare;
        watch->spare = dep;
        watch->dep_count--;
    }
}

/* ---- events ---- */

struct found {
    struct file_target *first, **end;
};

static void touch(struct found *found, struct file_target *target, enum file_change change)
{
    if (target->change < change)
        target->change = (uint8_t)change;
    if (target->listed)
        return;
    target->listed = 1;
    target->next_changed = NULL;
    *found->end = target;
    found->end = &target->next_changed;
}

static void touch_name(struct file_watch *watch, struct found *found, int wd, const char *name, enum file_change change)
{
    uint32_t hash = hash_of(wd, name, (uint32_t)strlen(name));
    for (struct file_dep *dep = watch->buckets[hash & (watch->bucket_count - 1)]; dep; dep = dep->next)
        if (dep->hash == hash && dep->wd == wd)
            touch(found, dep->target, change);
}

/* Events were lost, or a directory has gone with its file system (wd): whoever depends on it. */
static void touch_all(struct file_watch *watch, struct found *found, int wd)
{
    for (uint32_t i = 0; i < watch->bucket_count; i++)
        for (struct file_dep *dep = watch->buckets[i]; dep; dep = dep->next)
            if (wd == NO_FOLDER || dep->wd == wd)
                touch(found, dep->target, FILE_CHANGED);
}

static void note(struct file_watch *watch, struct found *found, const struct inotify_event *event)
{
    watch->events++;
    if (event->mask & IN_Q_OVERFLOW) {
        watch->overflows++;
        touch_all(watch, found, NO_FOLDER);
    } else if (event->mask & (IN_UNMOUNT | IN_IGNORED)) {
        if (folder_slot(watch->folders, watch->folder_room, event->wd)->wd == event->wd)
            touch_all(watch, found, event->wd);
    } else if (event->len > 0) {
        enum file_change change = event->mask & IN_MODIFY ? FILE_CHANGING : FILE_CHANGED;
        touch_name(watch, found, event->wd, event->name, change);
        if (change == FILE_CHANGED)
            touch_name(watch, found, event->wd, "", change);
    }
}

struct file_target *file_watch_read(struct file_watch *watch, int *ret_more)
{
    struct found found = { NULL, &found.first };
    ssize_t bytes;
    int reads = 0;
    for (; reads < READS_MAX && watch->fd >= 0 && (bytes = read(watch->fd, watch->buffer, EVENTS_BYTES)) > 0; reads++)
        for (const char *at = watch->buffer, *end = at + bytes; at < end;) {
            const struct inotify_event *event = (const struct inotify_event *)(const void *)at;
            note(watch, &found, event);
            at += sizeof *event + event->len;
        }
    *ret_more = reads == READS_MAX;
    return found.first;
}

void file_watch_facts(const struct file_watch *watch, struct file_watch_facts *ret_facts)
{
    *ret_facts = (struct file_watch_facts){ watch->folder_count, watch->dep_count, watch->events, watch->overflows };
}
