/* What this kernel offers to the engine, found out by trying each thing on a ring of its own: distributions port features back, so versions
 * say little. For those who explain a machine; the engine itself does not ask. */
#pragma once
#include <stdint.h>

enum { PROBE_ITEMS_MAX = 12 };

struct probe_item {
    const char *name, *use; /* what the engine does with it */
    int32_t result;         /* 0: it works; or -errno */
    uint32_t is_needed;     /* the engine has no way around it */
};

/* Tries everything. How many items were written; or -1 with a sentence in ret_message: there is no ring at all. */
int net_probe(struct probe_item ret_items[PROBE_ITEMS_MAX], char *ret_message, uint32_t message_bytes);
