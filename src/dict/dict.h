/* Dictionaries that all workers share: keys and values in memory that outlives each of the processes. In: keys, values and the time; out:
 * values and whether it could be done. Every call takes one lock, does an amount of work that does not depend on how much there is, and
 * gives it back: nothing is held while anybody waits. A process that is killed in the middle of a change leaves the dictionary as it was
 * before: the next one that takes the lock undoes what was begun.
 *
 * Results: 0 or more, or -ENOENT (no such key), -EEXIST, -EAGAIN (another version), -EINVAL (a value of another kind), -ENOSPC (no room without
 * giving up others), -E2BIG (never fits), -ENAMETOOLONG (the key), -EMSGSIZE (more bytes than asked for), -EBUSY (the lock was not to be had
 * within a second). Times are in ms of one monotonic clock. */
#pragma once
#include <stdint.h>

enum { DICT_KEY_MAX = 1024, DICT_STORES_MAX = 64, DICT_NAME_BYTES = 64 };

enum dict_kind { DICT_TEXT = 1, DICT_NUMBER, DICT_BOOLEAN, DICT_TABLE, DICT_LIST, DICT_BUCKET, DICT_WINDOW };

/* When a value is set: always; when there is none; when there is one; when its version is the one given (0: there is none). */
enum dict_when { DICT_ALWAYS, DICT_ABSENT, DICT_PRESENT, DICT_SAME };

enum dict_end { DICT_FIRST, DICT_LAST };

struct dict_key {
    const char *at;
    uint32_t bytes;
};

struct dict_value {
    uint32_t kind;
    uint32_t bytes;  /* of text and tables; elements of a list */
    double number;   /* of numbers and booleans */
    double version;  /* another one after each change */
    double ttl_ms;   /* that it has left, or is to have; 0: for ever */
};

struct dict_verdict {
    uint32_t allowed;
    uint32_t unused;
    double left;    /* how much more would be allowed now */
    double wait_ms; /* until as much would be allowed as was asked for; < 0: never */
};

struct dict_counts {
    char name[64];
    double bytes, used, entries, most_bytes; /* most_bytes: of one value */
    double hits, misses, sets, deletes, expired, evicted, refused, repaired;
};

struct dict; /* one dictionary */
struct dict_area; /* all of them, as one process sees them */

/* ---- the area ---- */

/* Memory for dictionaries that can be handed to other processes: a descriptor, or -errno. */
int dict_area_make(void);
/* NULL: no memory, or what the descriptor holds was laid out by another version. The descriptor stays the caller's and open. */
struct dict_area *dict_area_open(int fd);
void dict_area_close(struct dict_area *area);
/* The dictionary of that name, made when there is none: 0, or -EINVAL (name), -ENOSPC (too many), -ENOMEM. It keeps the size it was made with. */
int dict_area_store(struct dict_area *area, struct dict_key name, double bytes, struct dict **ret_dict);
uint32_t dict_area_count(const struct dict_area *area);
struct dict *dict_area_at(struct dict_area *area, uint32_t index);

/* ---- values ---- */

/* Its bytes go to `ret_bytes` when they fit into `room`; if not, -EMSGSIZE, and ret->bytes says how many there are. */
int dict_get(struct dict *dict, struct dict_key key, double now_ms, struct dict_value *ret, char *ret_bytes, uint32_t room);
/* How many others were given up for it. `may_evict` 0: none, -ENOSPC instead. */
int dict_set(struct dict *dict, struct dict_key key, double now_ms, const struct dict_value *value, const char *bytes,
               enum dict_when when, int may_evict);
/* A number, and with `has_initial` one that begins as `initial` when there is none, and lives for `ttl_ms`. */
int dict_incr(struct dict *dict, struct dict_key key, double now_ms, double by, int has_initial, double initial, double ttl_ms,
                double *ret_number);
int dict_expire(struct dict *dict, struct dict_key key, double now_ms, double ttl_ms);
int dict_delete(struct dict *dict, struct dict_key key, double now_ms, const double *version);

/* ---- lists ---- */

/* The length afterwards. */
int dict_push(struct dict *dict, struct dict_key key, double now_ms, enum dict_end end, const struct dict_value *value, const char *bytes);
/* The element, as dict_get(); one that does not fit stays where it is. */
int dict_pop(struct dict *dict, struct dict_key key, double now_ms, enum dict_end end, struct dict_value *ret, char *ret_bytes, uint32_t room);

/* ---- limits ---- */

/* A bucket of `burst` tokens that fills by `per_ms`. */
int dict_bucket(struct dict *dict, struct dict_key key, double now_ms, double per_ms, double burst, double cost, struct dict_verdict *ret);
/* At most `most` within any `window_ms`, where the window before counts by the part of it that is still in view. */
int dict_window(struct dict *dict, struct dict_key key, double now_ms, double window_ms, double most, double cost, struct dict_verdict *ret);

/* ---- the whole ---- */

/* Keys that begin with `prefix`, from `cursor` (0: from the start) on, each as two bytes of length and its text, while they fit into `room`.
 * The next cursor, 0 at the end; -EMSGSIZE: not even the next ones fit. What is there all the time is seen once. */
double dict_scan(struct dict *dict, double cursor, struct dict_key prefix, double now_ms, char *ret_keys, uint32_t room, uint32_t *ret_bytes);
/* Removes what is there now: how many. */
double dict_flush(struct dict *dict);
void dict_count(struct dict *dict, struct dict_counts *ret);
/* Looks at everything: 0, or a line of verify.c that says what is wrong. */
int dict_verify(struct dict *dict);
