/* Folders by handle: opened when first needed, again when what their path means has changed, and looked at by age where no event says so. The
 * loads do that, after the ring has followed the path: what is left here finds all of it in memory. */
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
    root_unref(folder->root);
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
    root_unref(folder->root);
    folder->root = NULL;
    drop_all(cache, folder);
}

void root_unref(struct file_root *root)
{
    if (!root || --root->uses > 0)
        return;
    close(root->fd);
    free(root);
}

static int root_new(int fd, struct file_root **ret_root)
{
    struct file_root *root = malloc(sizeof *root);
    if (!root)
        return -ENOMEM;
    *root = (struct file_root){ .fd = fd, .uses = 1 };
    *ret_root = root;
    return 0;
}

static int folder_open(struct file_cache *cache, struct file_folder *folder)
{
    struct file_place place;
    struct stat st;
    for (int tries = 0; tries < OPEN_TRIES; tries++) {
        file_watch_forget(cache->watch, &folder->target);
        folder->target.change = FILE_UNCHANGED;
        int error = file_walk(cache->watch, -1, folder->path, FILE_LINKS_ANYWHERE, 0, &folder->target, &place);
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
            error = root_new(fd, &folder->root);
            if (error)
                close(fd);
            return error;
        }
        close(fd);
    }
    return -EAGAIN;
}

bool folder_is_doubtful(const struct file_cache *cache, const struct file_folder *folder)
{
    return !folder->root || (folder->uncovered && net_now_ms(cache->net) - folder->checked_ms >= CHECK_MS);
}

int folder_found(struct file_cache *cache, struct file_folder *folder, int fd)
{
    struct stat st;
    bool same = fd >= 0 && folder->root && fstat(fd, &st) == 0 && st.st_dev == folder->device && st.st_ino == folder->inode;
    folder->checked_ms = net_now_ms(cache->net);
    if (folder->root && !same)
        folder_changed(cache, folder);
    return folder->root ? 0 : folder_open(cache, folder);
}
