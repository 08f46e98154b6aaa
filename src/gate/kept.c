/* Input kept for later: partial heads, content that nobody has read yet (a client's, or of a fetch), requests beyond the pipeline's limit. Bounded per
 * connection by whoever pauses reading, and in sum by limits.buffers. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "gate/gate.h"

enum { KEPT_FIRST = 1024, KEPT_PADDING = 64 };

void kept_drop(struct mg_worker *w, struct kept **kept)
{
    if (!*kept)
        return;
    w->kept_bytes -= (*kept)->room;
    free(*kept);
    *kept = NULL;
}

static struct kept *grow(struct mg_worker *w, struct kept **held, uint32_t need)
{
    struct kept *old = *held;
    uint32_t room = old ? old->room : KEPT_FIRST, old_room = old ? room : 0;
    while (room < need)
        room *= 2;
    if (w->kept_bytes - old_room + room > (uint64_t)w->settings.buffer_bytes)
        return NULL;
    struct kept *kept = malloc(sizeof *kept + room + KEPT_PADDING);
    if (!kept)
        return NULL;
    kept->begin = 0;
    kept->end = kept_bytes(old);
    kept->room = room;
    if (kept->end)
        memcpy(kept->bytes, old->bytes + old->begin, kept->end);
    memset(kept->bytes + room, 0, KEPT_PADDING);
    kept_drop(w, held);
    *held = kept;
    w->kept_bytes += room;
    return kept;
}

int kept_append(struct mg_worker *w, struct kept **held, const char *bytes, uint32_t count)
{
    struct kept *kept = *held;
    uint32_t before = kept_bytes(kept);
    if (!kept || kept->room - kept->end < count) {
        if (kept && kept->room - before >= count) {
            memmove(kept->bytes, kept->bytes + kept->begin, before);
            kept->begin = 0;
            kept->end = before;
        } else if (!(kept = grow(w, held, before + count))) {
            return -ENOBUFS;
        }
    }
    memcpy(kept->bytes + kept->end, bytes, count);
    kept->end += count;
    return 0;
}
