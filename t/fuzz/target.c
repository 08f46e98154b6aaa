/* Paths, escapes and authorities: nothing grows, a normalised path is settled and has no dot segment, in place or not. */
#include "http/url.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void claim(int holds)
{
    if (!holds)
        __builtin_trap();
}

static void check_path(const char *text, uint32_t count, char *once, char *twice)
{
    int32_t n = http_path_normalise(text, count, once);
    memcpy(twice, text, count);
    claim(http_path_normalise(twice, count, twice) == n);
    if (n < 0)
        return;
    claim((uint32_t)n <= count && memcmp(once, twice, (size_t)n) == 0);
    claim(http_path_normalise(once, (uint32_t)n, twice) == n && memcmp(once, twice, (size_t)n) == 0);
    for (int32_t at = 0; at < n; at++)
        for (int32_t dots = 1; once[at] == '/' && dots <= 2 && at + dots < n && once[at + dots] == '.'; dots++)
            claim(at + dots + 1 < n && once[at + dots + 1] != '/');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    uint32_t count = (uint32_t)size;
    char *once = malloc(size), *twice = malloc(size);
    if (size > 0)
        check_path(text, count, once, twice);
    for (int plus = 0; plus < 2; plus++)
        claim(http_percent_decode(text, count, plus, once) <= count);
    int verdict = http_authority_check(text, count);
    claim(verdict == -400 || (verdict == 0 && !memchr(text, '@', size) && !memchr(text, ',', size) && !memchr(text, '/', size)));
    free(once);
    free(twice);
    return 0;
}
