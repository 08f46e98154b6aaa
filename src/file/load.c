/* Loading an entry, a step at a time, without waiting for a disk:
 *
 *   OPEN ─▶ (walk: who is depended on) ─▶ [AGE: too young to be told from its next content] ─▶ READ ─▶ done
 *     ▲──────── changed meanwhile: again, at most TRIES_MAX times ────────┘
 *
 * The path is opened through the ring first, which brings all of it into memory; then it is followed by hand, so that every name on the way is
 * watched; only then is the content read. What is true at the end was true while it was read: the same times before and after, and a time
 * that is old enough to be told from that of a later change. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/must.h"
#include "file/load.h"
#include "file/mime.h"
#include "file/walk.h"

enum load_step { LOAD_OPEN, LOAD_AGE, LOAD_READ, LOAD_PACK };

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

/* Milliseconds until a change now would leave another time than this; 0: it would already. */
static double youth_of(const struct timespec *time)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    double age = (double)(now.tv_sec - time->tv_sec) * 1e3 + (double)(now.tv_nsec - time->tv_nsec) / 1e6;
    return age >= 0 && age < YOUNG_MS ? YOUNG_MS - age : 0;
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
        pack_end(load);
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
    pack_end(load);
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

void load_done(struct file_cache *cache, struct file_load *load, enum file_kind kind, int error, bool keep)
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

static void open_next(struct file_cache *cache, struct file_load *load)
{
    struct file_entry *entry = load->entry;
    char path[FILE_PATH_BYTES_MAX];
    if (load->index == 0) {
        file_watch_forget(cache->watch, &entry->target);
        entry->target.change = FILE_UNCHANGED;
        entry->uncovered = false;
    }
    entry->index = (uint8_t)load->index;
    int error = folder_ready(cache, entry->folder);
    if (!error && !entry_path(entry, path))
        error = -ENAMETOOLONG;
    if (!error && entry->name[entry->path_bytes + 1] != 0) {
        error = listing_make(cache, entry);
        load_done(cache, load, error ? FILE_FAILED : FILE_MEMORY, file_public_error(error), error == 0 || error == -ENOENT);
        return;
    }
    load->step = LOAD_OPEN;
    if (!error)
        error = net_open(cache->net, entry->folder->fd, path, file_open_flags(), file_open_resolve(entry->folder->options.links), cache->options.user,
                         token_of(cache, load));
    if (error)
        load_done(cache, load, FILE_FAILED, file_public_error(error), false);
}

/* Watches all names on the way. Does what it finds agree with what opening found? */
static bool walk_agrees(struct file_cache *cache, struct file_load *load, const char *path, int error, const struct stat *st)
{
    struct file_entry *entry = load->entry;
    struct file_place place;
    int walked = file_walk(cache->watch, entry->folder->fd, path, (enum file_links)entry->folder->options.links, &entry->target, &place);
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
    } else if (entry->folder->options.list && listing_is_possible(entry)) {
        load_done(cache, load, FILE_LISTABLE, 0, true);
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
    bool changed = now.modified.tv_sec != entry->stamp.modified.tv_sec || now.modified.tv_nsec != entry->stamp.modified.tv_nsec;
    return now.size < entry->stamp.size || (now.size == entry->stamp.size && changed); /* what grows is what it was, most likely */
}

/* ---- steps ---- */

/* A timer for the next step; without one at once. */
void load_again(struct file_cache *cache, struct file_load *load, double ms)
{
    if (load->step != LOAD_PACK) {
        load->step = LOAD_AGE;
        load->tries++;
    }
    if (net_timer_start(cache->net, ms, cache->options.user, token_of(cache, load)) < 0)
        load_done(cache, load, FILE_FAILED, -ENOBUFS, false);
}

void load_pack(struct file_cache *cache, struct file_entry *entry, struct file_entry *from)
{
    struct file_load *load = load_get(cache);
    file_entry_ref(entry);
    if (!load) { /* not now, then not at all: the content goes as it is until it is loaded anew */
        entry->kind = FILE_FAILED;
        file_entry_unref(cache, entry);
        return;
    }
    file_entry_ref(from);
    load_start(cache, load, entry, from);
    load->step = LOAD_PACK;
    pack_step(cache, load);
}

void load_on_net(struct file_cache *cache, const struct net_event *event)
{
    struct file_load *load = &cache->loads[(uint32_t)event->token];
    must((uint32_t)event->token < cache->load_top && load->busy);
    switch ((enum load_step)load->step) {
    case LOAD_OPEN:
        opened(cache, load, event->result);
        break;
    case LOAD_AGE:
        load_retry(cache, load);
        break;
    case LOAD_READ:
        has_read(cache, load, event->result);
        break;
    case LOAD_PACK:
        pack_step(cache, load);
        break;
    }
}
