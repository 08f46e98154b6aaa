/* Watching by inotify(7), or by looking where the kernel refuses that. */
#include "proc/watch.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proc/limits.h"

enum { LINKS_MAX = 40, EVENTS_BYTES = 16384, READS_PER_TURN = 16, LOOK_MS = 1000 };
/* A burst is over when nothing has come for QUIET_MS; one that does not end is cut after BURST_MS. */
enum { QUIET_MS = 50, BURST_MS = 500 };
enum { OF_FOLDER = IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR | IN_MASK_ADD };
enum { OF_FILES = OF_FOLDER | IN_CLOSE_WRITE | IN_ATTRIB };

void watch_init(struct watch *watch)
{
    *watch = (struct watch){ .fd = -1, .due_ms = INT64_MAX };
}

static void free_names(struct watch_name *names, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        free(names[i].name);
    free(names);
}

static void free_paths(struct watch *watch)
{
    for (uint32_t i = 0; i < watch->path_count; i++)
        free(watch->paths[i]);
    free(watch->paths);
    watch->paths = NULL;
    watch->path_count = 0;
}

void watch_fini(struct watch *watch)
{
    if (watch->fd >= 0)
        close(watch->fd);
    free_names(watch->names, watch->name_count);
    free_paths(watch);
    watch_init(watch);
}

int watch_descriptor(const struct watch *watch)
{
    return watch->state == WATCH_EVENTS ? watch->fd : -1;
}

int64_t watch_due(const struct watch *watch)
{
    return watch->due_ms;
}

/* ---- from paths to folders and names ---- */

static bool has_name(const struct watch_name *names, uint32_t count, int folder, const char *name)
{
    for (uint32_t i = 0; i < count; i++)
        if (names[i].folder == folder && strcmp(names[i].name, name) == 0)
            return true;
    return false;
}

static bool has_folder(const struct watch_name *names, uint32_t count, int folder)
{
    for (uint32_t i = 0; i < count; i++)
        if (names[i].folder == folder)
            return true;
    return false;
}

static int add_name(struct watch *watch, int folder, const char *name)
{
    if (has_name(watch->names, watch->name_count, folder, name))
        return 0;
    uint32_t count = watch->name_count;
    if ((count & (count - 1)) == 0) {
        struct watch_name *names = realloc(watch->names, (count ? 2 * (size_t)count : 1) * sizeof *names);
        if (!names)
            return -ENOMEM;
        watch->names = names;
    }
    char *copy = strdup(name);
    if (!copy)
        return -ENOMEM;
    watch->names[watch->name_count++] = (struct watch_name){ folder, copy };
    return 0;
}

/* One watch_set() under way. */
struct setting {
    struct watch *watch;
    const struct watch_name *before; /* watched until now: the kernel has told what became of them */
    uint32_t before_count;
    double since;
    bool changed; /* a name that was not watched until now has changed since then */
};

/* Watches a name in a folder (a path without symlinks; "": the root). A folder on the way that we may pass but not read is left out. */
static int set_name(struct setting *setting, const char *folder, const char *name, bool is_last, bool *ret_new)
{
    struct watch *watch = setting->watch;
    if (watch->name_count >= (uint32_t)proc_limits.watches_max)
        return -ENOSPC;
    int descriptor = inotify_add_watch(watch->fd, *folder ? folder : "/", is_last ? OF_FILES : OF_FOLDER);
    if (descriptor < 0)
        return (errno == EACCES && !is_last) || errno == ENOENT || errno == ENOTDIR ? 0 : -errno;
    *ret_new = !has_name(setting->before, setting->before_count, descriptor, name);
    return add_name(watch, descriptor, name);
}

/* A way to a file, being walked. */
struct walk {
    char real[PATH_MAX]; /* so far, without symlinks; "": the root */
    char rest[PATH_MAX]; /* still to go */
    uint32_t links;
};

/* Takes the next component off the rest. False: there is none. */
static bool next_component(struct walk *walk, char ret_name[NAME_MAX + 1])
{
    char *from = walk->rest + strspn(walk->rest, "/");
    size_t bytes = strcspn(from, "/");
    if (bytes == 0 || bytes > NAME_MAX)
        return false;
    memcpy(ret_name, from, bytes);
    ret_name[bytes] = 0;
    from += bytes;
    from += strspn(from, "/");
    memmove(walk->rest, from, strlen(from) + 1);
    return true;
}

/* Goes on where the symlink at `path` points. */
static bool follow(struct walk *walk, const char *path)
{
    char target[PATH_MAX], rest[PATH_MAX];
    ssize_t bytes = readlink(path, target, sizeof target - 1);
    if (bytes <= 0 || ++walk->links > LINKS_MAX)
        return false;
    target[bytes] = 0;
    if (snprintf(rest, sizeof rest, "%s/%s", target, walk->rest) >= (int)sizeof rest)
        return false;
    strcpy(walk->rest, rest);
    if (*target == '/')
        *walk->real = 0;
    return true;
}

static double seconds(struct timespec time)
{
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* When this name last came to stand for something else. A folder in which other names come and go is the same folder: that changes both of
 * its times at once, and being moved here only the one. */
static double changed_at(const struct stat *found)
{
    double changed = seconds(found->st_ctim);
    return S_ISDIR(found->st_mode) && changed <= seconds(found->st_mtim) ? 0 : changed;
}

/* Watches one component and steps over it. 1: there is more to go; 0: the walk is over; -errno: it cannot be watched. */
static int step(struct setting *setting, struct walk *walk)
{
    char name[NAME_MAX + 1], path[PATH_MAX];
    struct stat found;
    bool is_new = false;
    if (!next_component(walk, name))
        return 0;
    if (strcmp(name, ".") == 0)
        return 1;
    if (strcmp(name, "..") == 0) {
        char *last = strrchr(walk->real, '/');
        if (last)
            *last = 0;
        return 1;
    }
    int failed = set_name(setting, walk->real, name, *walk->rest == 0, &is_new);
    if (failed || snprintf(path, sizeof path, "%s/%s", walk->real, name) >= (int)sizeof path || lstat(path, &found) < 0)
        return failed;
    setting->changed |= is_new && changed_at(&found) >= setting->since;
    if (S_ISLNK(found.st_mode))
        return follow(walk, path);
    strcpy(walk->real, path);
    return S_ISDIR(found.st_mode);
}

static int set_path(struct setting *setting, const char *path)
{
    struct walk walk = { .links = 0 };
    char here[PATH_MAX] = "";
    if (*path != '/' && !getcwd(here, sizeof here))
        return -errno;
    if (snprintf(walk.rest, sizeof walk.rest, "%s/%s", here, path) >= (int)sizeof walk.rest)
        return 0;
    int more = 1;
    for (uint32_t i = 0; more > 0 && i < PATH_MAX; i++)
        more = step(setting, &walk);
    return more;
}

/* ---- looking, where the kernel does not tell ---- */

static uint64_t mix(uint64_t seen, uint64_t value)
{
    return (seen ^ value) * 0x9e3779b97f4a7c15u + (seen >> 29);
}

/* What is there, as one number. */
static uint64_t look(const struct watch *watch)
{
    uint64_t seen = 1;
    for (uint32_t i = 0; i < watch->path_count; i++) {
        struct stat found = { 0 };
        if (stat(watch->paths[i], &found) < 0)
            found.st_nlink = 0;
        seen = mix(mix(mix(seen, found.st_ino), found.st_dev), (uint64_t)found.st_size);
        seen = mix(mix(seen, (uint64_t)found.st_mtim.tv_sec), (uint64_t)found.st_mtim.tv_nsec);
        seen = mix(mix(seen, (uint64_t)found.st_ctim.tv_sec), (uint64_t)found.st_ctim.tv_nsec);
    }
    return seen;
}

/* ---- setting ---- */

static void keep_paths(struct watch *watch, const char *const *paths, uint32_t count)
{
    free_paths(watch);
    watch->paths = calloc(count ? count : 1, sizeof *watch->paths);
    for (uint32_t i = 0; watch->paths && i < count; i++)
        if ((watch->paths[watch->path_count] = strdup(paths[i])))
            watch->path_count++;
}

static void explain(int failed, char *ret_problem)
{
    if (failed == -ENOSPC)
        snprintf(ret_problem, WATCH_PROBLEM_BYTES, "the limit of watches is reached: raise it (sysctl fs.inotify.max_user_watches)");
    else if (failed == -EMFILE)
        snprintf(ret_problem, WATCH_PROBLEM_BYTES, "no more inotify instances are allowed: raise the limit (sysctl "
                 "fs.inotify.max_user_instances)");
    else
        snprintf(ret_problem, WATCH_PROBLEM_BYTES, "inotify: %s", strerror(-failed));
}

/* Watches what the paths need, and no more what only those before needed. */
static int set_events(struct watch *watch, double since, bool *ret_changed)
{
    struct watch_name *before = watch->names;
    uint32_t count = watch->name_count;
    struct setting setting = { .watch = watch, .before = before, .before_count = count, .since = since };
    int failed = 0;
    if (watch->fd < 0 && (watch->fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC)) < 0)
        return -errno;
    watch->names = NULL;
    watch->name_count = 0;
    for (uint32_t i = 0; i < watch->path_count && !failed; i++)
        failed = set_path(&setting, watch->paths[i]);
    *ret_changed = setting.changed;
    for (uint32_t i = 0; i < count; i++)
        if (!has_folder(watch->names, watch->name_count, before[i].folder) && !has_folder(before, i, before[i].folder))
            inotify_rm_watch(watch->fd, before[i].folder);
    free_names(before, count);
    return failed;
}

bool watch_set(struct watch *watch, const char *const *paths, uint32_t count, double since, int64_t now_ms, char *ret_problem)
{
    bool changed = false;
    keep_paths(watch, paths, count);
    int failed = set_events(watch, since, &changed);
    if (!failed) {
        watch->state = WATCH_EVENTS;
        if (changed && !watch->first_ms)
            watch->first_ms = now_ms;
        watch->due_ms = watch->first_ms ? now_ms + QUIET_MS : INT64_MAX;
        return true;
    }
    explain(failed, ret_problem);
    if (watch->fd >= 0)
        close(watch->fd);
    watch->fd = -1;
    free_names(watch->names, watch->name_count);
    watch->names = NULL;
    watch->name_count = 0;
    watch->state = WATCH_POLLING;
    watch->seen = changed ? 0 : look(watch);
    watch->first_ms = 0;
    watch->due_ms = now_ms + LOOK_MS;
    return false;
}

/* ---- what happens ---- */

/* Whether an event concerns us. */
static bool matters(const struct watch *watch, const struct inotify_event *event)
{
    if (event->mask & IN_Q_OVERFLOW) /* anything may have happened; what follows makes the watches anew */
        return true;
    if (event->len && !(event->mask & IN_IGNORED))
        return has_name(watch->names, watch->name_count, event->wd, event->name);
    return event->mask & (IN_DELETE_SELF | IN_MOVE_SELF | IN_UNMOUNT) && has_folder(watch->names, watch->name_count, event->wd);
}

/* Reads what there is. Whether any of it matters. */
static bool hear(const struct watch *watch)
{
    union {
        char bytes[EVENTS_BYTES];
        struct inotify_event aligned;
    } read_into;
    bool any = false;
    for (uint32_t i = 0; i < READS_PER_TURN; i++) {
        ssize_t got = read(watch->fd, read_into.bytes, sizeof read_into.bytes);
        if (got <= 0)
            break;
        for (ssize_t at = 0; at < got;) {
            const struct inotify_event *event = (const void *)(read_into.bytes + at);
            any = any || matters(watch, event);
            at += (ssize_t)sizeof *event + event->len;
        }
    }
    return any;
}

static bool look_again(struct watch *watch, int64_t now_ms)
{
    if (watch->due_ms > now_ms)
        return false;
    uint64_t before = watch->seen;
    watch->seen = look(watch);
    watch->due_ms = now_ms + LOOK_MS;
    return watch->seen != before;
}

bool watch_turn(struct watch *watch, bool readable, int64_t now_ms)
{
    if (watch->state == WATCH_POLLING)
        return look_again(watch, now_ms);
    if (watch->state == WATCH_OFF)
        return false;
    if (readable && hear(watch)) {
        watch->first_ms = watch->first_ms ? watch->first_ms : now_ms;
        int64_t most = watch->first_ms + BURST_MS;
        watch->due_ms = now_ms + QUIET_MS < most ? now_ms + QUIET_MS : most;
    }
    if (watch->due_ms > now_ms)
        return false;
    watch->first_ms = 0;
    watch->due_ms = INT64_MAX;
    return true;
}
