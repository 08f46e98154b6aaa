/* Loading an entry, a step at a time, without waiting for a disk:
 *
 *   [FOLDER] ─▶ OPEN ─▶ (walk: who is depended on) ─▶ [AGE: too young to be told from its next content] ─▶ READ ─▶ done
 *                 ▲──────── changed meanwhile: again, at most TRIES_MAX times ────────┘
 *               OPEN ─▶ LISTABLE: may it be listed? ─▶ done     LIST ─▶ (walk) ─▶ WORK ─▶ done     WORK: packed ─▶ done
 *
 * WORK is a thread's (hand.h). The path is opened through the ring first, which brings all of it into memory; then it is followed by hand,
 * so that every name on the way is watched; only then is the content read. What is true at the end was true while it was read: the same
 * times before and after, and a time that is old enough to be told from that of a later change. */
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/must.h"
#include "file/load.h"
#include "file/mime.h"
#include "file/walk.h"

enum load_step { LOAD_FOLDER, LOAD_OPEN, LOAD_AGE, LOAD_READ, LOAD_LISTABLE, LOAD_LIST, LOAD_WORK };

enum { READ_BYTES_MAX = 1 << 20 };

void stamp_of(const struct stat *st, struct file_stamp *ret)
{
    *ret = (struct file_stamp){ st->st_dev, st->st_ino, (uint64_t)st->st_size, st->st_mtim, st->st_ctim };
}

static bool stamps_equal(const struct file_stamp *a, const struct file_stamp *b)
{
    return a->device == b->device && a->inode == b->inode && a->size == b->size && a->modified.tv_sec == b->modified.tv_sec &&
           a->modified.tv_nsec == b->modified.tv_nsec && a->changed.tv_sec == b->changed.tv_sec && a->changed.tv_nsec == b->changed.tv_nsec;
}

/* How long the clock that file systems read may stand still, and somewhat more. */
static double young_ms(void)
{
    static double ms;
    struct timespec step;
    if (ms == 0)
        ms = clock_getres(CLOCK_REALTIME_COARSE, &step) == 0 && step.tv_sec == 0 ? (double)step.tv_nsec / 1e6 + 2 : YOUNG_MS_MAX;
    return ms < YOUNG_MS_MAX ? ms : YOUNG_MS_MAX;
}

/* Milliseconds until a change now would leave another time than this; 0: it would already. */
static double youth_of(const struct timespec *time)
{
    const double young = young_ms();
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    double age = (double)(now.tv_sec - time->tv_sec) * 1e3 + (double)(now.tv_nsec - time->tv_nsec) / 1e6;
    return age >= 0 && age < young ? young - age : 0;
}

static double token_of(const struct file_cache *cache, const struct file_load *load)
{
    return (double)(load - cache->loads);
}

static bool is_folder_like(const struct file_entry *entry)
{
    return entry->path_bytes == 0 || entry->name[entry->path_bytes - 1] == '/';
}

/* ---- birth and death ---- */

int loads_init(struct file_cache *cache)
{
    cache->loads = calloc(LOADS_MAX, sizeof *cache->loads);
    return cache->loads ? 0 : -ENOMEM;
}

void loads_free(struct file_cache *cache)
{
    for (uint32_t i = 0; i < cache->load_top; i++) {
        struct file_load *load = &cache->loads[i];
        if (!load->busy)
            continue;
        root_unref(load->root);
        free(load->made.bytes);
        if (load->fd >= 0)
            close(load->fd);
        if (load->old)
            file_entry_unref(cache, load->old);
        file_entry_unref(cache, load->entry);
    }
    free(cache->loads);
}

/* ---- begin and end ---- */

static void open_next(struct file_cache *cache, struct file_load *load);
static void load_done(struct file_cache *cache, struct file_load *load, enum file_kind kind, int error, bool keep);
static void load_again(struct file_cache *cache, struct file_load *load, double ms);

static struct file_load *load_get(struct file_cache *cache)
{
    struct file_load *load = cache->load_free;
    if (load)
        cache->load_free = load->next;
    else if (cache->load_top < LOADS_MAX)
        load = &cache->loads[cache->load_top++];
    return load;
}

static void load_start(struct file_cache *cache, struct file_load *load, struct file_entry *entry, struct file_entry *old)
{
    *load = (struct file_load){ .entry = entry, .old = old, .fd = -1, .busy = true };
    cache->load_count++;
    cache->facts.loads++;
}

/* Takes over what `old` holds. */
void load_begin(struct file_cache *cache, struct file_entry *entry, struct file_entry *old)
{
    struct file_load *load = load_get(cache);
    file_entry_ref(entry);
    entry->type = mime_type(entry->name, entry->path_bytes);
    if (!load) { /* its turn comes when another ends */
        if (old)
            file_entry_unref(cache, old);
        entry->dead_next = NULL;
        *(cache->pending_last ? &cache->pending_last->dead_next : &cache->pending_first) = entry;
        cache->pending_last = entry;
        return;
    }
    load_start(cache, load, entry, old);
    open_next(cache, load);
}

static void load_put(struct file_cache *cache, struct file_load *load)
{
    if (load->fd >= 0)
        close(load->fd);
    if (load->old)
        file_entry_unref(cache, load->old);
    root_unref(load->root);
    free(load->made.bytes);
    load->busy = false;
    load->next = cache->load_free;
    cache->load_free = load;
    cache->load_count--;
    struct file_entry *entry = cache->pending_first;
    if (!entry)
        return;
    cache->pending_first = entry->dead_next;
    if (!entry->dead_next)
        cache->pending_last = NULL;
    load = load_get(cache);
    load_start(cache, load, entry, NULL);
    open_next(cache, load);
}

/* `keep` false: for those who wait for it only. */
static void load_done(struct file_cache *cache, struct file_load *load, enum file_kind kind, int error, bool keep)
{
    struct file_entry *entry = load->entry;
    bool is_true = entry->live && keep && entry->target.change != FILE_CHANGED;
    entry->kind = (uint8_t)kind;
    entry->error = error;
    entry->checked_ms = net_now_ms(cache->net);
    if (entry->target.change == FILE_CHANGING)
        entry->changing_ms = entry->checked_ms;
    if (kind == FILE_OPENED) {
        entry->fd = load->fd;
        load->fd = -1;
    }
    entry->varies = entry->folder && !entry->folder->options.plain && mime_is_compressible(entry->type);
    if ((kind == FILE_MEMORY || kind == FILE_OPENED) && entry->folder && form_make(&entry->form, entry, entry, NULL) < 0) {
        entry->kind = FILE_FAILED;
        entry->error = -ENOMEM;
        is_true = false;
    }
    if (is_true || !entry->folder)
        entry_keep(cache, entry);
    else
        entry_drop(cache, entry);
    entry_tell(cache, entry, entry);
    load_put(cache, load);
    file_entry_unref(cache, entry);
}

/* From the beginning, because what was found is not true any more. */
static void load_retry(struct file_cache *cache, struct file_load *load)
{
    if (load->fd >= 0)
        close(load->fd);
    load->fd = -1;
    load->index = 0;
    load->have = 0;
    entry_bytes_free(load->entry);
    open_next(cache, load);
}

/* ---- opening ---- */

static int open_ring(struct file_cache *cache, struct file_load *load, enum load_step step, int folder, const char *path, uint64_t flags, uint64_t resolve)
{
    load->step = (uint8_t)step;
    return net_open(cache->net, folder, path, flags, resolve, cache->options.user, token_of(cache, load));
}

/* The folder as a folder, not its index: to see whether it may be listed, or to list it. */
static int open_folder(struct file_cache *cache, struct file_load *load, enum load_step step)
{
    const struct file_entry *entry = load->entry;
    return open_ring(cache, load, step, load->root->fd, entry->path_bytes ? entry->name : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC,
                     file_open_resolve((enum file_links)entry->folder->options.links));
}

static bool is_listing(const struct file_entry *entry)
{
    return entry->name[entry->path_bytes + 1] != 0;
}

static void open_below(struct file_cache *cache, struct file_load *load)
{
    struct file_entry *entry = load->entry;
    char path[FILE_PATH_BYTES_MAX];
    int error = entry_path(entry, path) ? 0 : -ENAMETOOLONG;
    root_unref(load->root);
    load->root = entry->folder->root;
    load->root->uses++;
    if (!error && is_listing(entry))
        error = open_folder(cache, load, LOAD_LIST);
    else if (!error)
        error = open_ring(cache, load, LOAD_OPEN, load->root->fd, path, file_open_flags(), file_open_resolve(entry->folder->options.links));
    if (error)
        load_done(cache, load, FILE_FAILED, file_public_error(error), false);
}

static void open_next(struct file_cache *cache, struct file_load *load)
{
    struct file_entry *entry = load->entry;
    if (load->index == 0) {
        file_watch_forget(cache->watch, &entry->target);
        entry->target.change = FILE_UNCHANGED;
        entry->uncovered = false;
    }
    entry->index = (uint8_t)load->index;
    if (!folder_is_doubtful(cache, entry->folder)) {
        open_below(cache, load);
        return;
    }
    int error = open_ring(cache, load, LOAD_FOLDER, AT_FDCWD, entry->folder->path, O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
    if (error)
        load_done(cache, load, FILE_FAILED, error, false);
}

static void folder_opened(struct file_cache *cache, struct file_load *load, int result)
{
    int error = folder_found(cache, load->entry->folder, result);
    if (result >= 0)
        close(result);
    if (error)
        load_done(cache, load, FILE_FAILED, file_public_error(error), false);
    else
        open_below(cache, load);
}

/* Watches all names on the way. Does what it finds agree with what opening found? */
static bool walk_agrees(struct file_cache *cache, struct file_load *load, const char *path, int error, const struct stat *st)
{
    struct file_entry *entry = load->entry;
    struct file_place place;
    int walked = file_walk(cache->watch, load->root->fd, path, (enum file_links)entry->folder->options.links, 1, &entry->target, &place);
    entry->uncovered |= place.uncovered;
    if (place.uncovered)
        cache_note(cache, place.why, entry->folder->path);
    if (error)
        return walked == error || (error != -ENOENT && error != -ENOTDIR); /* the others say nothing of names */
    return walked == 0 && place.device == st->st_dev && place.inode == st->st_ino;
}

/* Is `old` what was found, still? */
static bool is_old(const struct file_load *load, int error, const struct stat *st)
{
    struct file_stamp stamp;
    const struct file_entry *old = load->old;
    if (!old || load->tries > 0)
        return false;
    if (error)
        return old->kind == FILE_FAILED && old->error == file_public_error(error) && !is_folder_like(old);
    stamp_of(st, &stamp);
    return (old->kind == FILE_MEMORY || old->kind == FILE_OPENED) && stamps_equal(&stamp, &old->stamp) && youth_of(&st->st_mtim) == 0;
}

static void be_old(struct file_cache *cache, struct file_load *load)
{
    struct file_entry *entry = load->entry, *old = load->old;
    old->target.change = FILE_UNCHANGED;
    old->changing_ms = 0;
    if (entry->live)
        file_watch_give(&entry->target, &old->target);
    old->uncovered = entry->uncovered;
    entry->kind = FILE_FAILED;
    entry_put_back(cache, entry, old);
    entry_tell(cache, entry, old);
    load_put(cache, load);
    file_entry_unref(cache, entry);
}

/* Nothing is there under this name: the next that a folder may be shown by. */
static void not_there(struct file_cache *cache, struct file_load *load, int error)
{
    struct file_entry *entry = load->entry;
    if (!is_folder_like(entry) || error != -ENOENT) {
        error = file_public_error(error);
        load_done(cache, load, FILE_FAILED, error, error == -ENOENT || error == -EACCES); /* the others are this machine's, and pass */
    } else if (++load->index < entry->folder->options.index_count) {
        open_next(cache, load);
    } else if (entry->folder->options.list && open_folder(cache, load, LOAD_LISTABLE) == 0) {
        return;
    } else {
        load_done(cache, load, FILE_FAILED, -ENOENT, true);
    }
}

static void read_more(struct file_cache *cache, struct file_load *load);

/* A regular file: from memory, or from its descriptor when it is large. */
static void found(struct file_cache *cache, struct file_load *load, const struct stat *st)
{
    struct file_entry *entry = load->entry;
    char path[FILE_PATH_BYTES_MAX];
    double youth = youth_of(&st->st_mtim);
    if (youth > 0 && load->tries < TRIES_MAX) {
        load_again(cache, load, youth);
        return;
    }
    stamp_of(st, &entry->stamp);
    entry_path(entry, path);
    entry->type = mime_type(path, (uint32_t)strlen(path));
    fcntl(load->fd, F_SETFL, 0); /* with O_NONBLOCK some file systems would answer a read that is not in memory with EAGAIN */
    uint64_t size = entry->stamp.size;
    if ((double)size > cache->options.file_bytes_max || !cache_make_room(cache, size)) {
        load_done(cache, load, FILE_OPENED, 0, youth == 0);
        return;
    }
    if (!entry_bytes_new(entry, size)) {
        load_done(cache, load, FILE_OPENED, 0, false);
        return;
    }
    read_more(cache, load);
}

static void opened(struct file_cache *cache, struct file_load *load, int result)
{
    struct file_entry *entry = load->entry;
    struct stat st = { 0 };
    char path[FILE_PATH_BYTES_MAX];
    load->fd = result >= 0 ? result : -1;
    int error = result >= 0 ? (fstat(result, &st) < 0 ? -errno : 0) : result;
    entry_path(entry, path);
    if (error == -EAGAIN || error == -EINTR || !walk_agrees(cache, load, path, error, &st)) {
        if (load->tries++ < TRIES_MAX)
            load_retry(cache, load);
        else
            load_done(cache, load, FILE_FAILED, error ? file_public_error(error) : -EAGAIN, false);
        return;
    }
    if (is_old(load, error, &st))
        be_old(cache, load);
    else if (error)
        not_there(cache, load, error == -ENOTDIR ? -ENOENT : error);
    else if (S_ISDIR(st.st_mode) && is_folder_like(entry))
        not_there(cache, load, -ENOENT); /* a folder named index.html */
    else if (S_ISDIR(st.st_mode))
        load_done(cache, load, FILE_DIRECTORY, 0, true);
    else if (!S_ISREG(st.st_mode))
        load_done(cache, load, FILE_FAILED, -EACCES, true);
    else
        found(cache, load, &st);
}

/* ---- reading ---- */

/* All of it is here. Is it one content? */
static void read_whole(struct file_cache *cache, struct file_load *load)
{
    struct stat st;
    struct file_stamp stamp;
    if (fstat(load->fd, &st) == 0) {
        stamp_of(&st, &stamp);
        bool same = stamps_equal(&stamp, &load->entry->stamp) && load->have == load->entry->stamp.size;
        if (!same && load->tries++ < TRIES_MAX) {
            load_retry(cache, load);
            return;
        }
        if (!same) /* it is written to all the time: what was read is shown once */
            load->entry->stamp.size = load->have;
        load_done(cache, load, FILE_MEMORY, 0, same && youth_of(&st.st_mtim) == 0);
    } else {
        load_done(cache, load, FILE_FAILED, -EIO, false);
    }
}

static void read_more(struct file_cache *cache, struct file_load *load)
{
    struct file_entry *entry = load->entry;
    uint64_t left = entry->stamp.size - load->have;
    load->step = LOAD_READ;
    if (left == 0) {
        read_whole(cache, load);
        return;
    }
    int error = net_read(cache->net, load->fd, entry->bytes + load->have, left < READ_BYTES_MAX ? (uint32_t)left : READ_BYTES_MAX, load->have,
                         cache->options.user, token_of(cache, load));
    if (error)
        load_done(cache, load, FILE_FAILED, error, false);
}

static void has_read(struct file_cache *cache, struct file_load *load, int result)
{
    if (result < 0 && result != -EINTR && result != -EAGAIN) {
        load_done(cache, load, FILE_FAILED, result, false);
        return;
    }
    load->have += result > 0 ? (uint64_t)result : 0;
    if (result == 0) /* shorter than it was */
        read_whole(cache, load);
    else
        read_more(cache, load);
}

int file_entry_is_torn(const struct file_entry *entry)
{
    struct stat st;
    struct file_stamp now;
    if (fstat(entry->fd, &st) < 0)
        return 1;
    stamp_of(&st, &now);
    bool same = now.size == entry->stamp.size && now.modified.tv_sec == entry->stamp.modified.tv_sec &&
                now.modified.tv_nsec == entry->stamp.modified.tv_nsec;
    return !same && !(entry->folder->options.growing && now.size > entry->stamp.size);
}

/* ---- work on a thread ---- */

struct file_load *load_of(struct file_task *task)
{
    return (struct file_load *)((char *)task - offsetof(struct file_load, task));
}

static void work_begin(struct file_cache *cache, struct file_load *load, void (*run)(struct file_task *task))
{
    load->step = LOAD_WORK;
    load->task.run = run;
    if (!cache->hand && (cache->hand = file_hand_new()))
        net_watch(cache->net, file_hand_fd(cache->hand), cache->options.user);
    if (!cache->hand || file_hand_give(cache->hand, &load->task) < 0)
        load_done(cache, load, FILE_FAILED, -EAGAIN, false);
}

static void work_done(struct file_cache *cache, struct file_load *load)
{
    struct file_entry *entry = load->entry;
    int error = load->made.error;
    if (entry->folder == NULL) /* packed: of the same age as what it was made of */
        entry->stamp = load->old->stamp;
    entry->bytes = load->made.bytes;
    entry->stamp.size = load->made.count;
    load->made.bytes = NULL;
    load_done(cache, load, error ? FILE_FAILED : FILE_MEMORY, file_public_error(error), error == 0 || error == -ENOENT);
}

/* The folder to be listed: whatever comes or goes in it from now on is told. */
static void list(struct file_cache *cache, struct file_load *load, int result)
{
    struct file_entry *entry = load->entry;
    struct file_place place;
    struct stat st;
    load->fd = result;
    file_walk(cache->watch, load->root->fd, entry->name, (enum file_links)entry->folder->options.links, 0, &entry->target, &place);
    entry->uncovered = place.uncovered || file_watch_add(cache->watch, load->fd, (struct slice){ "", 0 }, 1, &entry->target) < 0;
    if (place.uncovered)
        cache_note(cache, place.why, entry->folder->path);
    if (fstat(load->fd, &st) == 0)
        stamp_of(&st, &entry->stamp);
    entry->type = mime_type("html.html", 9);
    work_begin(cache, load, listing_run);
}

static void folder_opened_below(struct file_cache *cache, struct file_load *load, int result)
{
    if (load->step == LOAD_LISTABLE && result >= 0) {
        load->fd = result;
        load_done(cache, load, FILE_LISTABLE, 0, true);
    } else if (result >= 0) {
        list(cache, load, result);
    } else {
        int error = load->step == LOAD_LISTABLE ? -ENOENT : file_public_error(result);
        load_done(cache, load, FILE_FAILED, error, error == -ENOENT);
    }
}

void load_pack(struct file_cache *cache, struct file_entry *entry, struct file_entry *from, enum file_coding coding)
{
    struct file_load *load = load_get(cache);
    file_entry_ref(entry);
    if (!load) { /* not now */
        entry->kind = FILE_FAILED;
        file_entry_unref(cache, entry);
        return;
    }
    file_entry_ref(from);
    load_start(cache, load, entry, from);
    load->coding = (uint8_t)coding;
    work_begin(cache, load, pack_run);
}

void load_on_hand(struct file_cache *cache)
{
    struct file_task *task;
    while (cache->hand && (task = file_hand_take(cache->hand)))
        work_done(cache, load_of(task));
}

/* ---- steps ---- */

/* From the beginning when a change will leave another time. */
static void load_again(struct file_cache *cache, struct file_load *load, double ms)
{
    load->step = LOAD_AGE;
    load->tries++;
    if (net_timer_start(cache->net, ms, cache->options.user, token_of(cache, load)) < 0)
        load_done(cache, load, FILE_FAILED, -ENOBUFS, false);
}

void load_on_net(struct file_cache *cache, const struct net_event *event)
{
    struct file_load *load = &cache->loads[(uint32_t)event->token];
    must((uint32_t)event->token < cache->load_top && load->busy);
    switch ((enum load_step)load->step) {
    case LOAD_FOLDER:
        folder_opened(cache, load, event->result);
        break;
    case LOAD_OPEN:
        opened(cache, load, event->result);
        break;
    case LOAD_LISTABLE:
    case LOAD_LIST:
        folder_opened_below(cache, load, event->result);
        break;
    case LOAD_AGE:
        load_retry(cache, load);
        break;
    case LOAD_READ:
        has_read(cache, load, event->result);
        break;
    case LOAD_WORK:
        never("a thread tells by its own way");
    }
}
