/* Notices that a file of the configuration has changed: paths come in, "something changed" goes out, once per burst. Knows nothing of
 * configurations. The folders on the way to a file are watched, not the file: editors and deployments put another in its place. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

enum { WATCH_PROBLEM_BYTES = 320, WATCH_FILES_MAX = 4096 };

enum watch_state {
    WATCH_OFF,
    WATCH_EVENTS,  /* the kernel tells */
    WATCH_POLLING, /* it does not: the files are looked at */
};

/* A name in a folder that matters: of a file, of a folder or symlink on the way to it, or of what is missing there. */
struct watch_name {
    int folder; /* watch descriptor */
    char *name; /* owned */
};

struct watch {
    enum watch_state state;
    int fd; /* inotify; -1: none */
    struct watch_name *names; /* owned, so are the next */
    uint32_t name_count;
    char **paths;
    uint32_t path_count;
    uint64_t seen;    /* what stat(2) says of all paths, in one number; for polling */
    int64_t first_ms; /* when the burst that is going on began; 0: none is */
    int64_t due_ms;   /* it is over then, or the next look is due; INT64_MAX: nothing */
};

void watch_init(struct watch *watch);
/* Watches these files from now on, there or missing, instead of those before. What was not watched yet and has changed since `since`, of
 * the clock that files are stamped with (clock_files()), counts as noticed. True, or false with a sentence in ret_problem
 * (≥ WATCH_PROBLEM_BYTES): it looks at the files each second then. */
bool watch_set(struct watch *watch, const char *const *paths, uint32_t count, double since, int64_t now_ms, char *ret_problem);
/* To be polled for reading; -1: nothing. */
int watch_descriptor(const struct watch *watch);
/* Takes what has happened. True: something that matters has changed, and nothing more for a moment. */
bool watch_turn(struct watch *watch, bool readable, int64_t now_ms);
int64_t watch_due(const struct watch *watch);
/* Ends watching. */
void watch_fini(struct watch *watch);
