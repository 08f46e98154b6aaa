/* Fuzzes the head parser: three implementations, requests and responses, whole and cut in two, must all agree, and none
 * may read more than 64 bytes past the end. The first two bytes of the input choose the cut.
 *   clang -g -O1 -fsanitize=fuzzer,address,undefined -Isrc -D_GNU_SOURCE -o /tmp/fuzz \
 *     t/fuzz/head.c src/http/head*.c src/http/url.c src/base/must.c
 *   /tmp/fuzz -max_len=1024 t/fuzz/corpus/head */
#include "http/head.h"
#include <stdlib.h>
#include <string.h>

static const struct http_head_limits limits = { 300, 900, 20 };
static struct http_head head, first_head;

/* Parses the first `count` bytes, lent in a block that ends 64 bytes behind them; those are all `behind`. */
static int parse(const uint8_t *text, uint32_t count, int behind, int response, struct http_head_progress *progress)
{
    const char *reason = NULL;
    char *bytes = malloc(count + 64);
    memcpy(bytes, text, count);
    memset(bytes + count, behind, 64);
    struct http_scan scan;
    http_scan_begin(&scan, bytes, count);
    int ret = response ? http_response_parse(&scan, 0, &limits, progress, &head, &reason)
                       : http_request_parse(&scan, 0, &limits, progress, &head, &reason);
    if ((ret < 0) != (reason != NULL) || ret > (int)count)
        abort();
    free(bytes);
    return ret;
}

int LLVMFuzzerTestOneInput(const uint8_t *text, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *text, size_t size)
{
    if (size < 2)
        return 0;
    uint32_t count = (uint32_t)size - 2, cut = (text[0] * 256u + text[1]) % (count + 1);
    for (int run = 0, first = 0; run < 12; run++) {
        int response = run / 6, split = run % 2;
        struct http_head_progress progress = { 0 };
        http_head_select(1 + run / 2 % 3);
        memset(&head, 0, sizeof head);
        int ret = split ? parse(text + 2, cut, text[1], response, &progress) : 0;
        if (ret == 0)
            ret = parse(text + 2, count, text[1], response, &progress);
        if (run % 6 == 0) {
            first = ret;
            first_head = head;
        } else if (ret != first || (ret > 0 && memcmp(&head, &first_head, sizeof head) != 0)) {
            abort();
        }
    }
    return 0;
}
