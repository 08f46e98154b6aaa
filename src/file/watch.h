/* Names that may change: directories watched by inotify(7), and who depends on which name in them. Comes in: a directory's descriptor, a name
 * and a target. Goes out: the targets that events concern. It opens no file and knows no cache. */
#pragma once
#include "base/slice.h"

struct file_watch;
struct file_dep;

enum file_change {
    FILE_UNCHANGED,
    FILE_CHANGING, /* its content is being written: no writer has closed it yet */
    FILE_CHANGED,
};

/* Whoever depends on names; a part of what belongs to him. Begins all zero. */
struct file_target {
    struct file_dep *deps;
    struct file_target *next_changed; /* in the list of the last file_watch_read() */
    uint8_t change;                   /* enum file_change */
    uint8_t listed;
    uint8_t kind;                     /* for whoever takes the list */
};

/* Never NULL but without memory. Without inotify (-EMFILE, -ENOSYS) every file_watch_add() fails with that error. */
struct file_watch *file_watch_new(void);
void file_watch_free(struct file_watch *watch);
/* The descriptor to wait for, or -errno. */
int file_watch_fd(const struct file_watch *watch);

/* The target depends on `name` in the directory `folder` (any descriptor of it), with `content` 1 on what it holds, too; bytes 0:
 * on every name. 0; -ENOSPC: the limit of watches; -EACCES: the directory may not be read; -ENOMEM and others. After an error the target
 * depends on one name less. */
int file_watch_add(struct file_watch *watch, int folder, struct slice name, int content, struct file_target *target);
/* What one depends on, another depends on instead. */
void file_watch_give(struct file_target *from, struct file_target *to);
/* It depends on nothing any more. */
void file_watch_forget(struct file_watch *watch, struct file_target *target);

/* Reads what has happened. The targets concerned, in a list by next_changed, each once, `change` raised; NULL: none. Who takes the list
 * sets `listed` back as he goes. *ret_more 1: there may be more, whoever writes it may not hold us up; read again soon. */
struct file_target *file_watch_read(struct file_watch *watch, int *ret_more);

struct file_watch_facts {
    uint32_t folders, deps;
    uint64_t events, overflows;
};
void file_watch_facts(const struct file_watch *watch, struct file_watch_facts *ret_facts);
