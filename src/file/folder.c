/* Folders by handle: opened when first needed, again when what their path means has changed, and looked at by age where no event says so. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/must.h"
#include "file/inner.h"
#include "file/walk.h"

enum { OPEN_TRIES = 3, TURNS_MASK = (1 << (31 - FOLDER_BITS)) - 1 };

struct file_folder *folder_at(const struct file_cache *cache, int handle)
{
    uint32_t index = (uint32_t)handle & (FOLDERS_MAX - 1);
    return handle >= 0 && (cache->folder_turns[index] & TURNS_MASK) == (uint32_t)handle >> FOLDER_BITS ? cache->folders[index] : NULL;
}

/* An absolute path, so that it means the same wherever it is followed from. */
static char *absolute(struct slice path)
{
    char *text = NULL;
    if (path.bytes > 0 && path.at[0] == '/')
        return strndup(path.at, path.bytes);
    char *here = getcwd(NULL, 0);
    if (here && asprintf(&text, "%s/%.*s", here, (int)path.bytes, path.at) < 0)
        text = NULL;
    free(here);
    return text;
}

int file_folder_open(struct file_cache *cache, struct slice path, struct slice options)
{
    uint32_t index = 0;
    while (index < FOLDERS_MAX && cache->folders[index])
        index++;
    if (index == FOLDERS_MAX)
        return -ENOSPC;
    if (path.bytes >= FILE_PATH_BYTES_MAX || memchr(path.at, '\0', path.bytes))
        return -EINVAL;
    struct file_folder *folder = calloc(1, sizeof *folder);
    if (!folder)
        return -ENOMEM;
    folder->fd = -1;
    folder->uses = 1;
    folder->target.kind = TARGET_FOLDER;
    folder->path = absolute(path);
    folder->text = file_options_read(options, &folder->options);
    if (!folder->path || !folder->text) {
        folder->closed = true;
        folder_leave(cache, folder);
        return folder->path ? -EINVAL : -ENOMEM;
    }
    cache->folders[index] = folder;
    return (int)((cache->folder_turns[index] & TURNS_MASK) << FOLDER_BITS | index);
}

/* One user less; with the last one of a closed folder it goes. */
void folder_leave(struct file_cache *cache, struct file_folder *folder)
{
    must(folder->uses > 0);
    if (--folder->uses > 0)
        return;
    must(folder->closed);
    file_watch_forget(cache->watch, &folder->target);
    if (folder->fd >= 0)
        close(folder->fd);
    file_options_free(folder->text);
    free(folder->path);
    free(folder);
}

static void drop_all(struct file_cache *cache, const struct file_folder *folder)
{
    for (uint32_t i = 0; i < cache->bucket_count; i++)
        for (struct file_entry *entry = cache->buckets[i], *next; entry; entry = next) {
            next = entry->next;
            if (entry->folder != folder)
                continue;
            if (entry->kind == FILE_LOADING)
                entry->target.change = FILE_CHANGED;
            else
                entry_drop(cache, entry);
        }
}

void file_folder_close(struct file_cache *cache, int handle)
{
    if (folder_at(cache, handle))
        folder_free(cache, (uint32_t)handle & (FOLDERS_MAX - 1));
}

void folder_free(struct file_cache *cache, uint32_t index)
{
    struct file_folder *folder = cache->folders[index];
    cache->folders[index] = NULL;
    cache->folder_turns[index]++;
    folder->closed = true;
    file_watch_forget(cache->watch, &folder->target);
    drop_all(cache, folder);
    folder_leave(cache, folder);
}

const struct file_options *file_folder_options(const struct file_cache *cache, int handle)
{
    const struct file_folder *folder = folder_at(cache, handle);
    return folder ? &folder->options : NULL;
}

/* Its path may lead elsewhere now. */
void folder_changed(struct file_cache *cache, struct file_folder *folder)
{
    if (folder->closed)
        return;
    if (folder->fd >= 0)
        close(folder->fd);
    folder->fd = -1;
    drop_all(cache, folder);
}

static int folder_open(struct file_cache *cache, struct file_folder *folder)
{
    struct file_place place;
    struct stat st;
    for (int tries = 0; tries < OPEN_TRIES; tries++) {
        file_watch_forget(cache->watch, &folder->target);
        folder->target.change = FILE_UNCHANGED;
        int error = file_walk(cache->watch, -1, folder->path, FILE_LINKS_ANYWHERE, &folder->target, &place);
        int fd = error ? error : file_root_open(folder->path);
        if (fd < 0)
            return fd;
        folder->uncovered = place.uncovered;
        folder->checked_ms = net_now_ms(cache->net);
        if (place.uncovered)
            cache_note(cache, place.why, folder->path);
        if (fstat(fd, &st) == 0 && st.st_dev == place.device && st.st_ino == place.inode) {
            folder->device = st.st_dev;
            folder->inode = st.st_ino;
            folder->fd = fd;
            return 0;
        }
        close(fd);
    }
    return -EAGAIN;
}

static bool folder_is_same(const struct file_folder *folder)
{
    struct stat st;
    return stat(folder->path, &st) == 0 && st.st_dev == folder->device && st.st_ino == folder->inode;
}

int folder_ready(struct file_cache *cache, struct file_folder *folder)
{
    if (folder->fd >= 0 && folder->uncovered && net_now_ms(cache->net) - folder->checked_ms >= CHECK_MS) {
        folder->checked_ms = net_now_ms(cache->net);
        if (!folder_is_same(folder))
            folder_changed(cache, folder);
    }
    return folder->fd >= 0 ? 0 : folder_open(cache, folder);
}
