/* The memory of all dictionaries: a file that has no name, of which each process maps the directory and the dictionaries that it uses. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "dict/inner.h"

enum { LAYOUT = 1, DIRECTORY_BYTES = 16384, PAGE = 4096, LEAST_BYTES = 65536 };
static const uint64_t MAGIC = 0x6572616873676d00; /* "\0mgshare" */
static const double MOST_BYTES = 16.0 * (1 << 30);

struct listed {
    char name[DICT_NAME_BYTES];
    uint64_t at, bytes;
};

struct directory {
    uint64_t magic;
    uint32_t layout, count;
    uint64_t end; /* of all that was given away */
    pthread_mutex_t lock;
    struct listed list[DICT_STORES_MAX];
};
_Static_assert(sizeof(struct directory) <= DIRECTORY_BYTES, "directory");

struct dict_area {
    int fd;
    struct directory *directory;
    struct dict *stores[DICT_STORES_MAX]; /* NULL: not mapped yet */
};

static void *map(int fd, uint64_t at, uint64_t bytes)
{
    void *to = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)at);
    return to == MAP_FAILED ? NULL : to;
}

static int directory_init(int fd)
{
    struct directory *directory = map(fd, 0, DIRECTORY_BYTES);
    pthread_mutexattr_t how;
    if (!directory)
        return -ENOMEM;
    pthread_mutexattr_init(&how);
    pthread_mutexattr_setpshared(&how, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_setrobust(&how, PTHREAD_MUTEX_ROBUST);
    int error = pthread_mutex_init(&directory->lock, &how);
    pthread_mutexattr_destroy(&how);
    directory->end = DIRECTORY_BYTES;
    directory->layout = LAYOUT;
    directory->magic = MAGIC;
    munmap(directory, DIRECTORY_BYTES);
    return -error;
}

int dict_area_make(void)
{
    int fd = memfd_create("moongate-shared", MFD_CLOEXEC);
    if (fd < 0)
        return -errno;
    int error = ftruncate(fd, DIRECTORY_BYTES) < 0 ? -errno : directory_init(fd);
    if (error) {
        close(fd);
        return error;
    }
    return fd;
}

struct dict_area *dict_area_open(int fd)
{
    struct dict_area *area = calloc(1, sizeof *area);
    if (!area)
        return NULL;
    area->fd = fd;
    area->directory = lseek(fd, 0, SEEK_END) >= DIRECTORY_BYTES ? map(fd, 0, DIRECTORY_BYTES) : NULL;
    if (!area->directory || area->directory->magic != MAGIC || area->directory->layout != LAYOUT) {
        dict_area_close(area);
        return NULL;
    }
    return area;
}

void dict_area_close(struct dict_area *area)
{
    if (!area)
        return;
    for (uint32_t i = 0; i < DICT_STORES_MAX; i++)
        if (area->stores[i])
            munmap(area->stores[i], area->directory->list[i].bytes);
    if (area->directory)
        munmap(area->directory, DIRECTORY_BYTES);
    free(area);
}

uint32_t dict_area_count(const struct dict_area *area)
{
    return __atomic_load_n(&area->directory->count, __ATOMIC_ACQUIRE);
}

struct dict *dict_area_at(struct dict_area *area, uint32_t index)
{
    const struct listed *listed = &area->directory->list[index];
    if (index < dict_area_count(area) && !area->stores[index])
        area->stores[index] = map(area->fd, listed->at, listed->bytes);
    return index < dict_area_count(area) ? area->stores[index] : NULL;
}

static int find(const struct dict_area *area, struct dict_key name)
{
    for (uint32_t i = 0; i < dict_area_count(area); i++) {
        const char *other = area->directory->list[i].name;
        if (strnlen(other, DICT_NAME_BYTES) == name.bytes && memcmp(other, name.at, name.bytes) == 0)
            return (int)i;
    }
    return -ENOENT;
}

/* It is listed, and so found by others, when it is whole. */
static int add(struct dict_area *area, struct dict_key name, uint64_t bytes)
{
    struct directory *directory = area->directory;
    uint32_t index = directory->count;
    if (index == DICT_STORES_MAX)
        return -ENOSPC;
    struct listed *listed = &directory->list[index];
    *listed = (struct listed){ .at = directory->end, .bytes = bytes };
    memcpy(listed->name, name.at, name.bytes);
    if (ftruncate(area->fd, (off_t)(listed->at + bytes)) < 0)
        return -ENOMEM;
    struct dict *dict = map(area->fd, listed->at, bytes);
    int error = dict ? dict_init(dict, name, bytes) : -ENOMEM;
    if (error) {
        if (dict)
            munmap(dict, bytes);
        return error;
    }
    area->stores[index] = dict;
    directory->end = listed->at + bytes;
    __atomic_store_n(&directory->count, index + 1, __ATOMIC_RELEASE);
    return (int)index;
}

/* Whoever died with the lock has left nothing that is listed. */
static int directory_lock(struct directory *directory)
{
    int error = pthread_mutex_lock(&directory->lock);
    if (error == EOWNERDEAD)
        error = pthread_mutex_consistent(&directory->lock);
    return -error;
}

int dict_area_store(struct dict_area *area, struct dict_key name, double bytes, struct dict **ret_dict)
{
    if (name.bytes == 0 || name.bytes >= DICT_NAME_BYTES || !(bytes >= 0 && bytes <= MOST_BYTES))
        return -EINVAL;
    int index = find(area, name);
    if (index < 0 && directory_lock(area->directory) == 0) {
        uint64_t whole = ((uint64_t)bytes + PAGE - 1) & ~(uint64_t)(PAGE - 1);
        index = find(area, name);
        if (index < 0)
            index = add(area, name, whole < LEAST_BYTES ? LEAST_BYTES : whole);
        pthread_mutex_unlock(&area->directory->lock);
    }
    if (index < 0)
        return index;
    *ret_dict = dict_area_at(area, (uint32_t)index);
    return *ret_dict ? 0 : -ENOMEM;
}
