/* The work at one entry, for load.c and pack.c. */
#pragma once
#include "file/inner.h"

struct z_stream_s;

/* The work at one entry. */
struct file_load {
    struct file_entry *entry;   /* held */
    struct file_entry *old;     /* what it may turn out to be still; held */
    struct file_load *next;
    struct z_stream_s *packing;
    uint64_t have;
    int fd;
    uint32_t index;             /* of the names tried in a folder */
    uint8_t step, tries;
    bool busy;
};

/* `keep` false: for those who wait for it only. */
void load_done(struct file_cache *cache, struct file_load *load, enum file_kind kind, int error, bool keep);
/* The next step when this time is over. */
void load_again(struct file_cache *cache, struct file_load *load, double ms);

void pack_step(struct file_cache *cache, struct file_load *load);
void pack_end(struct file_load *load);
