/* The table of entries, what is kept of them and for how long (SIEVE: a hit sets a bit, the hand takes the first without one), and those who
 * wait for them. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/must.h"
#include "file/hand.h"
#include "file/inner.h"

enum { BUCKETS_FIRST = 1024, DEP_WEIGHT = 64, OPENED_SHARE = 256, MORE_EVENTS = -1 /* token of a timer */ };

/* ---- birth and death ---- */

struct file_cache *file_cache_new(struct net *net, const struct file_cache_options *options)
{
    struct file_cache *cache = calloc(1, sizeof *cache);
    if (!cache)
        return NULL;
    cache->net = net;
    cache->options = *options;
    cache->bucket_count = BUCKETS_FIRST;
    cache->buckets = calloc(cache->bucket_count, sizeof(struct file_entry *));
    cache->watch = file_watch_new();
    if (!cache->buckets || !cache->watch || loads_init(cache) < 0) {
        file_cache_free(cache);
        return NULL;
    }
    if (file_watch_fd(cache->watch) < 0)
        cache_note(cache, file_watch_fd(cache->watch), NULL);
    else
        net_watch(net, file_watch_fd(cache->watch), options->user);
    return cache;
}

static void entry_free(struct file_cache *cache, struct file_entry *entry)
{
    file_watch_forget(cache->watch, &entry->target);
    for (int c = 0; c < FILE_CODINGS; c++)
        coded_free(cache, entry->coded[c]);
    form_free(&entry->form);
    if (entry->fd >= 0)
        close(entry->fd);
    if (entry->folder)
        folder_leave(cache, entry->folder);
    entry_bytes_free(entry);
    free(entry);
}

/* Large contents are pages of their own, which the kernel may go on sending after they are unmapped. */
bool entry_bytes_new(struct file_entry *entry, uint64_t bytes)
{
    bool paged = bytes >= PAGED_LEAST;
    void *at = paged ? mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) : malloc(bytes + 1);
    if (!at || at == MAP_FAILED)
        return false;
    entry->bytes = at;
    entry->paged = paged ? bytes : 0;
    entry->loan.paged = paged;
    return true;
}

void entry_bytes_free(struct file_entry *entry)
{
    if (entry->paged)
        munmap(entry->bytes, entry->paged);
    else
        free(entry->bytes);
    entry->bytes = NULL;
    entry->paged = entry->loan.paged = 0;
}

/* Frees what was given up and is not being sent any more; all of it when the engine is gone. */
static void sweep(struct file_cache *cache, bool all)
{
    for (struct file_entry **link = &cache->dead; *link;) {
        struct file_entry *entry = *link;
        if (entry->loan.pieces > 0 && !all) {
            link = &entry->dead_next;
            continue;
        }
        *link = entry->dead_next;
        cache->dead_bytes -= entry->weight;
        entry_free(cache, entry);
    }
}

void file_cache_free(struct file_cache *cache)
{
    if (!cache)
        return;
    file_hand_free(cache->hand);
    for (uint32_t i = 0; cache->buckets && i < cache->bucket_count; i++)
        while (cache->buckets[i])
            entry_drop(cache, cache->buckets[i]);
    loads_free(cache);
    sweep(cache, true);
    for (uint32_t i = 0; i < FOLDERS_MAX; i++)
        if (cache->folders[i])
            folder_free(cache, i);
    file_watch_free(cache->watch);
    free(cache->buckets);
    free(cache);
}

/* ---- references ---- */

void file_entry_ref(struct file_entry *entry)
{
    entry->refs++;
}

void file_entry_unref(struct file_cache *cache, struct file_entry *entry)
{
    must(entry->refs > 0);
    if (--entry->refs > 0)
        return;
    must(!entry->live);
    if (entry->loan.pieces == 0) {
        entry_free(cache, entry);
        return;
    }
    file_watch_forget(cache->watch, &entry->target);
    entry->dead_next = cache->dead;
    cache->dead = entry;
    cache->dead_bytes += entry->weight;
}

/* ---- the table ---- */

static uint32_t hash_of(const struct file_folder *folder, struct slice path, char order)
{
    uint64_t hash = (uint64_t)(uintptr_t)folder * 0x9e3779b97f4a7c15u + (uint8_t)order, word;
    uint32_t at = 0;
    for (; at + 8 <= path.bytes; at += 8) {
        memcpy(&word, path.at + at, 8);
        hash = (hash ^ word) * 0x9fb21c651e98df25u;
        hash ^= hash >> 32;
    }
    word = path.bytes;
    for (; at < path.bytes; at++)
        word = word << 8 | (uint8_t)path.at[at];
    hash = (hash ^ word) * 0x9fb21c651e98df25u;
    return (uint32_t)(hash ^ hash >> 32);
}

static bool entry_is(const struct file_entry *entry, const struct file_folder *folder, struct slice path, char order)
{
    return entry->folder == folder && entry->path_bytes == path.bytes && memcmp(entry->name, path.at, path.bytes) == 0 &&
           entry->name[path.bytes + 1] == order;
}

static void table_insert(struct file_cache *cache, struct file_entry *entry)
{
    struct file_entry **bucket = &cache->buckets[entry->hash & (cache->bucket_count - 1)];
    entry->next = *bucket;
    *bucket = entry;
    entry->live = true;
    entry->refs++;
    cache->entry_count++;
}

static void table_grow(struct file_cache *cache)
{
    uint32_t count = cache->bucket_count * 2;
    struct file_entry **more = calloc(count, sizeof(struct file_entry *));
    if (!more)
        return; /* longer chains, nothing worse */
    for (uint32_t i = 0; i < cache->bucket_count; i++)
        for (struct file_entry *entry = cache->buckets[i], *next; entry; entry = next) {
            next = entry->next;
            entry->next = more[entry->hash & (count - 1)];
            more[entry->hash & (count - 1)] = entry;
        }
    free(cache->buckets);
    cache->buckets = more;
    cache->bucket_count = count;
}

struct file_entry *entry_new(struct file_cache *cache, struct file_folder *folder, struct slice path, char order)
{
    struct file_entry *entry = calloc(1, sizeof *entry + path.bytes + 2);
    if (!entry)
        return NULL;
    memcpy(entry->name, path.at, path.bytes);
    entry->name[path.bytes + 1] = order;
    entry->path_bytes = path.bytes;
    entry->fd = -1;
    entry->target.kind = TARGET_ENTRY;
    entry->folder = folder;
    if (!folder)
        return entry;
    folder->uses++;
    entry->hash = hash_of(folder, path, order);
    if (cache->entry_count >= cache->bucket_count)
        table_grow(cache);
    table_insert(cache, entry);
    return entry;
}

/* ---- the queues of those that may be evicted ---- */

static struct file_queue *queue_of(struct file_cache *cache, const struct file_entry *entry)
{
    return &cache->queues[entry->kind == FILE_FAILED && !entry->beside];
}

static void enqueue(struct file_cache *cache, struct file_entry *entry)
{
    struct file_queue *queue = queue_of(cache, entry);
    entry->older = queue->newest;
    entry->newer = NULL;
    if (queue->newest)
        queue->newest->newer = entry;
    else
        queue->oldest = entry;
    queue->newest = entry;
    entry->queued = true;
    entry->visited = false;
    cache->bytes += entry->weight;
    cache->facts.by_age += entry->uncovered;
    cache->failed_count += queue == &cache->queues[1];
}

static void dequeue(struct file_cache *cache, struct file_entry *entry)
{
    struct file_queue *queue = queue_of(cache, entry);
    if (!entry->queued)
        return;
    if (queue->hand == entry)
        queue->hand = entry->newer;
    *(entry->older ? &entry->older->newer : &queue->oldest) = entry->newer;
    *(entry->newer ? &entry->newer->older : &queue->newest) = entry->older;
    entry->queued = false;
    cache->bytes -= entry->weight;
    cache->facts.by_age -= entry->uncovered;
    cache->failed_count -= queue == &cache->queues[1];
}

void entry_beside(struct file_cache *cache, struct file_entry *entry)
{
    if (entry->beside || entry->kind != FILE_FAILED || !entry->queued)
        return;
    dequeue(cache, entry);
    entry->beside = true;
    enqueue(cache, entry);
}

void entry_drop(struct file_cache *cache, struct file_entry *entry)
{
    if (!entry->live)
        return;
    struct file_entry **link = &cache->buckets[entry->hash & (cache->bucket_count - 1)];
    while (*link != entry)
        link = &(*link)->next;
    *link = entry->next;
    cache->entry_count--;
    dequeue(cache, entry);
    entry->live = false;
    if (entry->kind != FILE_LOADING) /* a load goes on and wants to know */
        file_watch_forget(cache->watch, &entry->target);
    file_entry_unref(cache, entry);
}

/* `now` has found that `old` is true still. */
void entry_put_back(struct file_cache *cache, struct file_entry *now, struct file_entry *old)
{
    bool wanted = now->live;
    entry_drop(cache, now);
    if (!wanted)
        return;
    table_insert(cache, old);
    enqueue(cache, old);
    old->visited = true;
    old->checked_ms = net_now_ms(cache->net);
}

/* One less; false: there is none that could go. What is being sent would not give its memory back. */
static bool evict(struct file_cache *cache, struct file_queue *queue)
{
    uint32_t left = 2 * cache->entry_count + 2;
    struct file_entry *entry = queue->hand ? queue->hand : queue->oldest;
    while (entry && left-- > 0 && (entry->visited || entry->loan.pieces > 0)) {
        entry->visited = false;
        entry = entry->newer ? entry->newer : queue->oldest;
    }
    if (!entry || entry->visited || entry->loan.pieces > 0)
        return false;
    queue->hand = entry->newer;
    cache->facts.evicted++;
    entry_drop(cache, entry);
    return true;
}

/* true: `bytes` more are within the bound now. */
bool cache_make_room(struct file_cache *cache, uint64_t bytes)
{
    sweep(cache, false);
    if (bytes > 0 && (double)(cache->dead_bytes + bytes) > cache->options.bytes_max)
        return false; /* whatever went */
    while ((double)(cache->bytes + cache->dead_bytes + bytes) > cache->options.bytes_max)
        if (!evict(cache, &cache->queues[0]) && !evict(cache, &cache->queues[1]))
            return false;
    return true;
}

static uint64_t weight_of(const struct file_cache *cache, const struct file_entry *entry)
{
    uint64_t weight = sizeof *entry + entry->path_bytes + entry->form.other_bytes + entry->form.type_bytes + 4 * DEP_WEIGHT;
    if (entry->kind == FILE_OPENED)
        weight += (uint64_t)cache->options.bytes_max / OPENED_SHARE; /* descriptors are rarer than bytes */
    return weight + (entry->bytes ? entry->stamp.size : 0);
}

void entry_keep(struct file_cache *cache, struct file_entry *entry)
{
    entry->weight = weight_of(cache, entry);
    if (!entry->live)
        return;
    if (entry->kind == FILE_FAILED && cache->failed_count >= FAILED_MAX)
        evict(cache, &cache->queues[1]);
    if (cache_make_room(cache, entry->weight))
        enqueue(cache, entry);
    else
        entry_drop(cache, entry);
}

/* It has become larger by what was packed for it. */
void entry_weigh(struct file_cache *cache, struct file_entry *entry, uint64_t more)
{
    if (!entry->queued)
        return;
    entry->weight += more;
    cache->bytes += more;
    entry->visited = true;
    cache_make_room(cache, 0);
}

void file_cache_adapt(struct file_cache *cache, const struct file_cache_options *options)
{
    cache->options = *options;
    cache_make_room(cache, 0);
}

/* ---- waiting ---- */

void entry_wait(struct file_entry *entry, struct file_wait *wait)
{
    wait->state = 1;
    wait->entry = entry;
    wait->next = NULL;
    *(entry->last_wait ? &entry->last_wait->next : &entry->first_wait) = wait;
    entry->last_wait = wait;
}

void entry_tell(struct file_cache *cache, struct file_entry *entry, struct file_entry *result)
{
    for (struct file_wait *wait = entry->first_wait, *next; wait; wait = next) {
        next = wait->next;
        wait->state = 2;
        wait->entry = result;
        wait->next = NULL;
        result->refs++;
        *(cache->done_last ? &cache->done_last->next : &cache->done_first) = wait;
        cache->done_last = wait;
    }
    entry->first_wait = entry->last_wait = NULL;
}

struct file_wait *file_cache_next(struct file_cache *cache)
{
    struct file_wait *wait = cache->done_first;
    if (!wait)
        return NULL;
    cache->done_first = wait->next;
    if (!wait->next)
        cache->done_last = NULL;
    wait->state = 3;
    return wait;
}

static void unlink_wait(struct file_wait **first, struct file_wait **last, struct file_wait *wait)
{
    struct file_wait **link = first, *before = NULL;
    while (*link && *link != wait) {
        before = *link;
        link = &(*link)->next;
    }
    must(*link == wait);
    *link = wait->next;
    if (*last == wait)
        *last = before;
}

void file_cache_leave(struct file_cache *cache, struct file_wait *wait)
{
    if (wait->state == 1)
        unlink_wait(&wait->entry->first_wait, &wait->entry->last_wait, wait);
    else if (wait->state == 2)
        unlink_wait(&cache->done_first, &cache->done_last, wait);
    if (wait->state >= 2)
        file_entry_unref(cache, wait->entry);
    wait->state = 0;
    wait->entry = NULL;
}

/* ---- asking ---- */

enum entry_age entry_age(const struct file_cache *cache, const struct file_entry *entry)
{
    double now = net_now_ms(cache->net);
    if (entry->kind == FILE_LOADING)
        return ENTRY_CURRENT;
    if (entry->target.change == FILE_CHANGING && now - entry->changing_ms >= HOLD_MS)
        return ENTRY_OLD;
    if (entry->folder->uncovered && folder_is_doubtful(cache, entry->folder))
        return ENTRY_TO_CHECK;
    uint32_t limit = entry->folder->options.check_ms ? entry->folder->options.check_ms : entry->uncovered ? CHECK_MS : 0;
    return limit && now - entry->checked_ms >= limit ? ENTRY_TO_CHECK : ENTRY_CURRENT;
}

static struct file_entry *lookup(const struct file_cache *cache, const struct file_folder *folder, struct slice path, char order)
{
    struct file_entry *entry = cache->buckets[hash_of(folder, path, order) & (cache->bucket_count - 1)];
    while (entry && !entry_is(entry, folder, path, order))
        entry = entry->next;
    return entry;
}

/* Begins to load: 1 when it is done already (an error, most likely), then it is held for him; 0: he waits. */
static int begin(struct file_cache *cache, struct file_folder *folder, struct slice path, char order, struct file_entry *old, struct file_wait *wait)
{
    struct file_entry *entry = entry_new(cache, folder, path, order);
    if (!entry) {
        if (old)
            file_entry_unref(cache, old);
        return -ENOMEM;
    }
    file_entry_ref(entry);
    file_cache_leave(cache, wait);
    load_begin(cache, entry, old);
    if (entry->kind != FILE_LOADING) {
        wait->state = 3;
        wait->entry = entry;
        return 1;
    }
    entry_wait(entry, wait);
    file_entry_unref(cache, entry);
    return 0;
}

/* file_cache_get() within a folder that is there. */
int cache_find(struct file_cache *cache, struct file_folder *folder, struct slice path, char order, struct file_wait *wait, struct file_entry **ret_entry)
{
    if (wait->state == 3 && entry_is(wait->entry, folder, path, order)) { /* kept for him, whatever has happened to it */
        *ret_entry = wait->entry;
        return 1;
    }
    struct file_entry *entry = lookup(cache, folder, path, order), *old = NULL;
    enum entry_age age = entry ? entry_age(cache, entry) : ENTRY_OLD;
    if (age == ENTRY_CURRENT && entry->kind == FILE_LOADING) {
        file_cache_leave(cache, wait);
        entry_wait(entry, wait);
        return 0;
    }
    if (age == ENTRY_CURRENT) {
        entry->visited = true;
        cache->facts.hits++;
        *ret_entry = entry;
        return 1;
    }
    if (age == ENTRY_TO_CHECK) {
        old = entry;
        file_entry_ref(old);
    }
    if (entry)
        entry_drop(cache, entry);
    int error = file_path_check(path.at, path.bytes, folder->options.hidden);
    if (!error)
        error = begin(cache, folder, path, order, old, wait);
    *ret_entry = wait->entry;
    return error;
}

int file_cache_get(struct file_cache *cache, int handle, struct slice path, char order, struct file_wait *wait, struct file_entry **ret_entry)
{
    struct file_folder *folder = folder_at(cache, handle);
    return folder ? cache_find(cache, folder, path, order, wait, ret_entry) : -ENOENT;
}

/* ---- events ---- */

static void entry_changed(struct file_cache *cache, struct file_entry *entry)
{
    if (entry->kind == FILE_LOADING)
        return;
    if (entry->target.change == FILE_CHANGED || entry->kind != FILE_MEMORY || !entry->live) {
        cache->facts.changed++;
        entry_drop(cache, entry);
    } else if (entry->changing_ms == 0) {
        entry->changing_ms = net_now_ms(cache->net);
    }
}

/* Entries first: a folder that has changed drops others of them, which the list might still name. */
static void cache_events(struct file_cache *cache)
{
    struct file_target *folders = NULL;
    int more = 0;
    for (struct file_target *target = file_watch_read(cache->watch, &more), *next; target; target = next) {
        next = target->next_changed;
        target->listed = 0;
        if (target->kind == TARGET_ENTRY) {
            entry_changed(cache, (struct file_entry *)target);
        } else {
            target->next_changed = folders;
            folders = target;
        }
    }
    for (; folders; folders = folders->next_changed)
        folder_changed(cache, (struct file_folder *)folders);
    if (more)
        net_timer_start(cache->net, 0, cache->options.user, MORE_EVENTS);
}

void file_cache_on_net(struct file_cache *cache, const struct net_event *event)
{
    if (event->kind == NET_TIMER && event->token == MORE_EVENTS) {
        cache_events(cache);
    } else if (event->kind == NET_READY) { /* one of the two */
        cache_events(cache);
        load_on_hand(cache);
    } else {
        load_on_net(cache, event);
    }
}

/* ---- facts ---- */

/* What the limits of this machine, or a file system without events (0), leave uncovered: each once. */
void cache_note(struct file_cache *cache, int error, const char *path)
{
    static const char consequence[] = "files are looked at when they are older than a second instead";
    bool *told = error ? &cache->told_limit : &cache->told_eventless;
    cache->facts.by_age_why = error;
    if (*told || (error && error != -ENOSPC && error != -EMFILE && error != -ENFILE && error != -ENOMEM && error != -ENOSYS))
        return;
    *told = true;
    if (!error)
        snprintf(cache->notice_text, sizeof cache->notice_text, "files: changes below %s are not told by its file system; %s", path, consequence);
    else
        snprintf(cache->notice_text, sizeof cache->notice_text,
                 "files: changes%s%s are not told by the system (%s); %s. Raise the limit with: sysctl -w fs.inotify.max_user_%s",
                 path ? " below " : "", path ? path : "", error == -ENOSPC ? "no more watches" : strerror(-error), consequence,
                 error == -ENOSPC ? "watches=524288" : "instances=1024");
    cache->notice = cache->notice_text;
}

const char *file_cache_notice(struct file_cache *cache)
{
    const char *notice = cache->notice;
    cache->notice = NULL;
    return notice;
}

void file_cache_facts(const struct file_cache *cache, struct file_cache_facts *ret_facts)
{
    struct file_watch_facts watched;
    file_watch_facts(cache->watch, &watched);
    *ret_facts = cache->facts;
    ret_facts->entries = cache->entry_count;
    ret_facts->failed = cache->failed_count;
    ret_facts->loading = cache->load_count;
    ret_facts->folders_watched = watched.folders;
    ret_facts->bytes = cache->bytes;
    ret_facts->bytes_lent = cache->dead_bytes;
    ret_facts->bytes_max = (uint64_t)cache->options.bytes_max;
    ret_facts->events = watched.events;
    ret_facts->overflows = watched.overflows;
}
