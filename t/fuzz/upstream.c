/* What a config says of an upstream, changes at run time, and DNS answers about services: nothing is read beyond its end, and what is
 * accepted can be said again. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/change.h"
#include "proxy/resolve_inner.h"
#include "proxy/spec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void changes(struct slice text)
{
    struct standings standings = { 0 };
    char why[384], lines[4 * CHANGE_LINE_BYTES];
    while (text.bytes) {
        struct change change;
        if (change_read(&change, spec_line(&text), why, sizeof why) == 0)
            standings_merge(&standings, &change);
    }
    for (uint32_t i = 0; i < standings.count; i++) {
        uint32_t bytes = standing_lines(&standings.list[i], lines, sizeof lines);
        struct slice said = { lines, bytes };
        if (bytes >= sizeof lines)
            abort();
        while (said.bytes) {
            struct change again;
            if (change_read(&again, spec_line(&said), why, sizeof why) < 0)
                abort();
        }
    }
    standings_fini(&standings);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct spec spec;
    struct service_target targets[SERVICE_TARGETS_MAX];
    char why[384];
    uint32_t ttl;
    if (size < 1)
        return 0;
    char *copy = malloc(size); /* its end is guarded */
    memcpy(copy, data + 1, size - 1);
    struct slice text = { copy, (uint32_t)size - 1 };
    if (data[0] % 3 == 0)
        spec_read(&spec, text, why, sizeof why);
    else if (data[0] % 3 == 1)
        changes(text);
    else
        service_read((const unsigned char *)copy, (int)text.bytes, targets, &ttl);
    free(copy);
    return 0;
}
