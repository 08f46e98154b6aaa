/* The work at one entry, for load.c and those who do a part of it on a thread: pack.c, listing.c. */
#pragma once
#include "file/hand.h"
#include "file/inner.h"

/* The work at one entry. */
struct file_load {
    struct file_entry *entry;   /* held */
    struct file_entry *old;     /* what it may turn out to be still; held */
    struct file_load *next;
    struct file_root *root;     /* held: it is opened below this */
    uint64_t have;
    int fd;
    uint32_t index;             /* of the names tried in a folder */
    uint8_t step, tries;
    uint8_t coding;             /* enum file_coding: that it is packed in */
    bool busy;
    struct file_task task;      /* what is done on a thread: it reads `old`, the folder behind `fd` and names, and writes only this: */
    struct file_made {
        char *bytes;
        uint64_t count;
        int error;              /* 0; or -errno, and there are no bytes */
    } made;
};

/* Tasks, and whose they are. */
struct file_load *load_of(struct file_task *task);
void pack_run(struct file_task *task);
void listing_run(struct file_task *task);
