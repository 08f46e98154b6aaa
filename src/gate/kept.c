/* Input kept for later: partial heads, content that nobody has read yet, requests beyond the pipeline's limit. Bounded per
 * connection by whoever pauses reading, and in sum by limits.buffers. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "gate/gate.h"

enum { KEPT_FIRST = 1024, KEPT_PADDING = 64 };

void kept_drop(struct mg_worker *w, struct client *client)
{
    if (!client->kept)
        return;
    w->kept_bytes -= client->kept->room;
    free(client->kept);
    client->kept = NULL;
}

static struct kept *grow(struct mg_worker *w, struct client *client, uint32_t need)
{
    uint32_t room = client->kept ? client->kept->room : KEPT_FIRST;
    uint32_t old_room = client->kept ? room : 0;
    while (room < need)
        room *= 2;
    if (w->kept_bytes - old_room + room > (uint64_t)w->settings.buffer_bytes)
        return NULL;
    struct kept *kept = malloc(sizeof *kept + room + KEPT_PADDING);
    if (!kept)
        return NULL;
    kept->begin = 0;
    kept->end = kept_count(client);
    kept->room = room;
    if (kept->end)
        memcpy(kept->bytes, client->kept->bytes + client->kept->begin, kept->end);
    memset(kept->bytes + room, 0, KEPT_PADDING);
    kept_drop(w, client);
    client->kept = kept;
    w->kept_bytes += room;
    return kept;
}

int kept_append(struct mg_worker *w, struct client *client, const char *bytes, uint32_t count)
{
    struct kept *kept = client->kept;
    uint32_t held = kept_count(client);
    if (!kept || kept->room - kept->end < count) {
        if (kept && kept->room - held >= count) {
            memmove(kept->bytes, kept->bytes + kept->begin, held);
            kept->begin = 0;
            kept->end = held;
        } else if (!(kept = grow(w, client, held + count))) {
            return -ENOBUFS;
        }
    }
    memcpy(kept->bytes + kept->end, bytes, count);
    kept->end += count;
    return 0;
}
