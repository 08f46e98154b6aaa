/* Bodies whole against cut: the content, the end and the verdict must not depend on where the pieces end.
 * Input: bytes per piece (0: one less than all), what to frame by, then the wire. */
#include "http/body.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Appends the content to `ret_content`. Returns the bytes consumed, or the negated status. */
static int64_t feed(struct http_body *body, const char *wire, uint32_t count, uint32_t piece, char *ret_content)
{
    uint32_t at = 0, run_at, run_bytes;
    for (uint32_t end = piece < count ? piece : count; at < count && !body->done;) {
        int64_t took = http_body_next(body, wire + at, end - at, &run_at, &run_bytes);
        if (took < 0)
            return took;
        if (took > end - at || run_at + run_bytes > took)
            __builtin_trap();
        memcpy(ret_content + body->content - run_bytes, wire + at + run_at, run_bytes);
        at += (uint32_t)took;
        if (at == end)
            end = count - end > piece ? end + piece : count;
    }
    return at;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char whole[1 << 16], pieces[1 << 16];
    if (size < 3 || size > sizeof(whole))
        return 0;
    struct http_head head = { .status = 200, .content_length = (int64_t)size / 2 };
    head.flags = data[1] & 1 ? HEAD_CHUNKED : data[1] & 2 ? HEAD_HAS_LENGTH : 0;
    struct http_body one, many;
    http_body_begin_response(&one, &head, METHOD_GET);
    http_body_begin_response(&many, &head, METHOD_GET);
    uint32_t count = (uint32_t)size - 2, piece = data[0] ? data[0] : count - 1;
    int64_t once = feed(&one, (const char *)data + 2, count, count, whole);
    int64_t cut = feed(&many, (const char *)data + 2, count, piece ? piece : 1, pieces);
    if (once != cut || one.content != many.content || one.done != many.done || one.framing != many.framing ||
        memcmp(whole, pieces, one.content) != 0)
        __builtin_trap();
    return 0;
}
