/* Folders to serve from, with what was said of each: names, links, listings, fields. Comes in: a folder, options as text, paths. Goes out: an open
 * folder, and what may be asked of it. The kernel keeps paths below it (openat2(2), RESOLVE_BENEATH); the checks here come first. */
#pragma once
#include "base/slice.h"

enum { FILE_PATH_BYTES_MAX = 4096, FILE_INDEX_MAX = 4 };

enum file_links { FILE_LINKS_INSIDE, FILE_LINKS_NEVER, FILE_LINKS_ANYWHERE };

/* What is said of the files whose path, or whose name when the pattern has no '/', matches (fnmatch(3)). */
struct file_rule {
    struct file_rule *next;
    const char *pattern;
    struct slice value;
};

struct file_options {
    uint8_t links;           /* enum file_links */
    uint8_t hidden;          /* 1: names that begin with a dot are files like any other */
    uint8_t list;            /* 1: a folder without an index is listed */
    uint8_t plain;           /* 1: never coded, neither by siblings nor here */
    uint8_t growing;         /* 1: files are only ever added to: what is added to one that is being sent does not change what is sent */
    uint32_t check_ms;       /* look at files that are older than this in the cache, whatever events say; 0: trust events */
    uint32_t index_count;
    const char *index[FILE_INDEX_MAX];
    struct slice fallback;   /* path that answers for what is not there; bytes 0: none */
    struct slice missing;    /* path of the page that goes with 404 */
    struct file_rule *cache_control, *download; /* in the order to be tried */
};

struct file_options_text;

/* Options as lines "key value": links inside|never|anywhere, hidden, list, plain, growing, check MS, index NAME, fallback PATH, missing PATH,
 * cache PATTERN<TAB>VALUE, download PATTERN. NULL: no memory, or not such lines. The strings live as long as the result. */
struct file_options_text *file_options_read(struct slice text, struct file_options *ret_options);
void file_options_free(struct file_options_text *text);
/* The value of the first rule that fits; bytes 0: none. at NULL: no rule. */
struct slice file_rule_find(const struct file_rule *rules, const char *path);

/* A descriptor of the folder (O_PATH), or -errno. A link that is swapped later does not move it. */
int file_root_open(const char *folder);
/* How a file below a root is opened: flags and resolve of openat2(2). */
uint64_t file_open_flags(void);
uint64_t file_open_resolve(enum file_links links);
/* What the outside may know about an error of opening: -ENOENT, -EACCES, or an error of this machine. */
int file_public_error(int error);

/* Is this a path that may be opened? 0; -ENOENT: an empty segment, or one that begins with a dot unless `hidden` (".well-known" may
 * come first, RFC 8615); -EACCES: NUL, "." or ".."; -ENAMETOOLONG. A trailing '/' and the empty path mean a folder. */
int file_path_check(const char *path, uint32_t bytes, int hidden);
