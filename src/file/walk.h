/* Where a path leads, link by link, and on which names that depends. Comes in: a root and a path that openat2(2) has judged already, so that
 * nothing here waits for a disk. Goes out: what stands at its end, and a target that is told when one of those names changes. */
#pragma once
#include "file/root.h"
#include "file/watch.h"

struct file_place {
    uint64_t device, inode;
    uint32_t mode;     /* st_mode */
    uint8_t uncovered; /* 1: some change on the way would not be told, because of `why` (-errno; 0: a file system without events) */
    int why;
};

/* 0, or -errno: -ENOENT when a name on the way is not there (its appearing is told then), -EACCES and the like. `path` may be
 * absolute, and is then followed from "/", when links are FILE_LINKS_ANYWHERE. `content` 1: that of a file at its end matters, too. */
int file_walk(struct file_watch *watch, int root, const char *path, enum file_links links, int content, struct file_target *target,
              struct file_place *ret_place);
