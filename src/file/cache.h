/* Files in memory, with their answers ready. Comes in: a folder and a path. Goes out: an entry (a file, or why there is none), or "not here yet"
 * and later the one who waits for it. An entry is true as long as inotify has not said otherwise; it is loaded by the engine's reads, once for
 * all who want it, and never shows a file in the middle of a change. It writes no response. */
#pragma once
#include "file/root.h"
#include "file/serve.h"
#include "net/net.h"

struct file_cache;
struct file_entry;

enum file_kind {
    FILE_LOADING,
    FILE_MEMORY,    /* its bytes are here */
    FILE_OPENED,    /* too large for that: an open descriptor */
    FILE_DIRECTORY, /* a folder, asked for without the '/' */
    FILE_LISTABLE,  /* a folder without an index, where folders are listed: ask again for a listing */
    FILE_FAILED,    /* `error` */
};

/* One representation of a file: lines of the head, ready to be sent, and its bytes. Lent like its entry. */
struct file_form {
    struct net_loan *loan;   /* of `bytes`: NULL with FILE_OPENED */
    const char *bytes;
    int fd;                  /* with FILE_OPENED */
    struct file_entry *content; /* to be held while `fd` is read */
    const char *lines;       /* Content-Type, Content-Encoding, Content-Disposition; Content-Length; the others */
    uint32_t type_bytes, length_bytes, other_bytes; /* one after the other */
    struct file_version version;
};

/* Somebody who waits for an entry; a part of what belongs to him. Begins all zero but for `owner`. */
struct file_wait {
    struct file_wait *next;
    struct file_entry *entry; /* waited for, or held for him */
    uint32_t owner;
    uint8_t state;            /* 0: idle; 1: in an entry's list; 2: in the list of file_cache_next(); 3: has been told */
};

struct file_cache_options {
    double bytes_max;      /* of all that is kept, with its management */
    double file_bytes_max; /* of a file that is kept in memory */
    uint32_t user;         /* of NET_DONE, NET_TIMER and NET_READY events that are for file_cache_on_net() */
};

/* NULL: no memory. */
struct file_cache *file_cache_new(struct net *net, const struct file_cache_options *options);
/* Other bounds from now on. */
void file_cache_adapt(struct file_cache *cache, const struct file_cache_options *options);
/* After the engine. */
void file_cache_free(struct file_cache *cache);

/* A folder with its options (file_options_read): handle ≥ 0, -EINVAL, -ENOSPC or -ENOMEM. It need not be there yet. */
int file_folder_open(struct file_cache *cache, struct slice path, struct slice options);
void file_folder_close(struct file_cache *cache, int folder);
/* NULL: no such folder. */
const struct file_options *file_folder_options(const struct file_cache *cache, int folder);

/* The entry at a decoded, relative path. 1: *ret_entry, lent until the next call of this file unless it is held; 0: `wait` comes out of
 * file_cache_next() when it is here: ask again then; or -errno for a path that is none (file_path_check). `order`: 0, or for a listing
 * one of "nNsStT", by name, size or time, capitals for the reverse. */
int file_cache_get(struct file_cache *cache, int folder, struct slice path, char order, struct file_wait *wait, struct file_entry **ret_entry);
/* The same for its representation in a coding: -ENOENT when it has none. `make` 0: only a sibling that somebody has made. */
int file_cache_coded(struct file_cache *cache, struct file_entry *entry, enum file_coding coding, int make, struct file_wait *wait,
                     const struct file_form **ret_form);
/* Waits no more, and gives back what was held for him. */
void file_cache_leave(struct file_cache *cache, struct file_wait *wait);
/* The next who need wait no longer; NULL: none. */
struct file_wait *file_cache_next(struct file_cache *cache);
void file_cache_on_net(struct file_cache *cache, const struct net_event *event);
/* Something that the user should know, told once; NULL: nothing. */
const char *file_cache_notice(struct file_cache *cache);

enum file_kind file_entry_kind(const struct file_entry *entry);
/* Of FILE_FAILED: -ENOENT, -EACCES, or an error of this machine. */
int file_entry_error(const struct file_entry *entry);
/* May it have other representations than this? Then the request's Accept-Encoding matters. */
int file_entry_varies(const struct file_entry *entry);
const struct file_form *file_entry_form(const struct file_entry *entry);
void file_entry_ref(struct file_entry *entry);
void file_entry_unref(struct file_cache *cache, struct file_entry *entry);
/* Of FILE_OPENED. */
int file_entry_fd(const struct file_entry *entry);
/* Has a file that is being sent from its descriptor become another? */
int file_entry_is_torn(const struct file_entry *entry);

enum { FILE_LOADS_MAX = 256 /* at once; the others wait */ };

struct file_cache_facts {
    uint32_t entries, failed; /* kept; those of them that say that there is nothing */
    uint32_t loading, folders_watched;
    uint32_t by_age;         /* looked at by age, because no event would tell of a change */
    int32_t by_age_why;      /* the last reason: -errno, or 0 for a file system without events */
    uint64_t bytes, bytes_lent, bytes_max; /* kept; given up but still being sent */
    uint64_t hits, loads, evicted, changed, events, overflows;
};
void file_cache_facts(const struct file_cache *cache, struct file_cache_facts *ret_facts);
