/* What the files of the cache share. Nobody outside this folder includes it. */
#pragma once
#include <stdbool.h>
#include <sys/stat.h>

#include "file/cache.h"
#include "file/watch.h"

enum {
    FOLDER_BITS = 12,       /* of a handle; those above count how often its place was used */
    FOLDERS_MAX = 1 << FOLDER_BITS,
    LOADS_MAX = FILE_LOADS_MAX,
    FAILED_MAX = 4096,      /* entries that say that there is nothing */
    YOUNG_MS_MAX = 12,      /* a file system may leave one time on two changes that are nearer than its clock's step, and that is at most this */
    HOLD_MS = 12,           /* a content that is being changed is shown as it was for so long, unless its writer is done before */
    CHECK_MS = 1000,        /* age at which is looked at what no event covers */
    TRIES_MAX = 4,
    PACK_LEAST = 512,       /* bytes worth coding */
    PAGED_LEAST = 524288,   /* a content that has pages of its own: below, copying it was measured to be cheaper (net/direct.c) */
};

/* What tells one content of a name from another. */
struct file_stamp {
    uint64_t device, inode, size;
    struct timespec modified, changed;
};

/* An open folder (O_PATH). Whoever opens below it through the ring holds it: the number must not be another's when the kernel comes to it. */
struct file_root {
    int fd;
    uint32_t uses;
};

struct file_folder {
    struct file_target target;  /* the names on the way to the folder itself */
    struct file_options options;
    struct file_options_text *text;
    char *path;
    struct file_root *root;     /* NULL: to be opened */
    uint32_t uses;              /* entries, and 1 while it has a handle */
    uint64_t device, inode;
    double checked_ms;
    bool uncovered, closed;
};

/* A representation that an entry has besides itself; lines bytes 0: it has none. */
struct file_coded {
    struct file_form form;
    struct file_entry *sibling, *packed; /* held; a sibling that failed says that there is none */
    bool looked, weighed;                /* for a sibling; as part of the entry's weight */
};

/*   LOADING ─load.c─▶ MEMORY, OPENED, DIRECTORY, LISTABLE, FAILED      `live` until it is changed, evicted or replaced; then it
 * stays as it is for those who hold it and for what is still being sent of it. */
struct file_entry {
    struct file_target target;  /* first */
    struct net_loan loan;
    struct file_entry *next;    /* in its bucket */
    struct file_entry *newer, *older; /* in the queue of those that may be evicted */
    struct file_entry *dead_next;
    struct file_folder *folder; /* NULL: packed here, in no table */
    struct file_coded *coded[FILE_CODINGS];
    struct file_wait *first_wait, *last_wait;
    struct file_form form;
    struct file_stamp stamp;
    struct slice type;
    double checked_ms, changing_ms;
    uint64_t weight;
    uint32_t refs, hash, name_bytes;
    uint32_t path_bytes;
    int fd, error;
    uint8_t kind;               /* enum file_kind */
    uint8_t index;              /* which of the folder's index names it is */
    bool live, queued, visited, uncovered, varies;
    bool beside;                /* it was asked for beside a file that is there: nobody can ask for as many such as he likes */
    char *bytes;                /* lent by `loan` */
    uint64_t paged;             /* bytes of the mapping that they are; 0: they are not */
    char name[];                /* the path, NUL; for a listing also its order */
};

struct file_load; /* the work at one entry: load.h */
struct file_hand;

struct file_cache {
    struct net *net;
    struct file_watch *watch;
    struct file_hand *hand;     /* NULL until there is work */
    struct file_cache_options options;
    struct file_folder *folders[FOLDERS_MAX];
    uint32_t folder_turns[FOLDERS_MAX];
    struct file_entry **buckets;
    uint32_t bucket_count, entry_count, failed_count;
    struct file_queue {         /* SIEVE: the hand goes from the oldest to the newest */
        struct file_entry *newest, *oldest, *hand;
    } queues[2];                /* files, and entries that failed */
    struct file_entry *dead;    /* given up, but still being sent */
    uint64_t bytes, dead_bytes;
    struct file_load *loads, *load_free; /* room for LOADS_MAX */
    uint32_t load_top, load_count;
    struct file_entry *pending_first, *pending_last; /* by dead_next */
    struct file_wait *done_first, *done_last;
    const char *notice;
    char notice_text[512];
    bool told_limit, told_eventless;
    struct file_cache_facts facts;
};

/* cache.c */
enum target_kind { TARGET_ENTRY, TARGET_FOLDER };
struct file_entry *entry_new(struct file_cache *cache, struct file_folder *folder, struct slice path, char order);
int cache_find(struct file_cache *cache, struct file_folder *folder, struct slice path, char order, struct file_wait *wait, struct file_entry **ret_entry);
/* May it be shown as it is? */
enum entry_age { ENTRY_OLD, ENTRY_TO_CHECK, ENTRY_CURRENT };
enum entry_age entry_age(const struct file_cache *cache, const struct file_entry *entry);
void entry_drop(struct file_cache *cache, struct file_entry *entry);     /* out of the table */
void entry_put_back(struct file_cache *cache, struct file_entry *now, struct file_entry *old);
void entry_beside(struct file_cache *cache, struct file_entry *entry);   /* a sibling, there or not: it may stay as long as files may */
void entry_keep(struct file_cache *cache, struct file_entry *entry);     /* loaded: may be evicted from now on */
bool entry_bytes_new(struct file_entry *entry, uint64_t bytes);
void entry_bytes_free(struct file_entry *entry);
void entry_weigh(struct file_cache *cache, struct file_entry *entry, uint64_t more);
void entry_tell(struct file_cache *cache, struct file_entry *entry, struct file_entry *result); /* to all who wait */
void entry_wait(struct file_entry *entry, struct file_wait *wait);
bool cache_make_room(struct file_cache *cache, uint64_t bytes);
void cache_note(struct file_cache *cache, int error, const char *path);

/* folder.c */
struct file_folder *folder_at(const struct file_cache *cache, int handle); /* NULL: it was closed */
void folder_free(struct file_cache *cache, uint32_t index);
void folder_changed(struct file_cache *cache, struct file_folder *folder);
bool folder_is_doubtful(const struct file_cache *cache, const struct file_folder *folder); /* its path has to be followed (again) first */
/* The kernel has just followed its path: what stands there (any descriptor; -1: nothing). 0 when it is open now, or -errno. */
int folder_found(struct file_cache *cache, struct file_folder *folder, int fd);
void root_unref(struct file_root *root); /* or NULL */
void folder_leave(struct file_cache *cache, struct file_folder *folder);

/* load.c */
void load_begin(struct file_cache *cache, struct file_entry *entry, struct file_entry *old);
void load_pack(struct file_cache *cache, struct file_entry *entry, struct file_entry *from, enum file_coding coding);
void load_on_hand(struct file_cache *cache);
void load_on_net(struct file_cache *cache, const struct net_event *event);
int loads_init(struct file_cache *cache);
void loads_free(struct file_cache *cache);
void stamp_of(const struct stat *st, struct file_stamp *ret);

/* form.c */
bool entry_path(const struct file_entry *entry, char ret[FILE_PATH_BYTES_MAX]); /* with the index that was found; false: too long */
int form_make(struct file_form *form, const struct file_entry *entry, struct file_entry *content, const char *coding);
void form_free(struct file_form *form);
void coded_free(struct file_cache *cache, struct file_coded *coded);
