/* See inflate.h. A thin machine around zlib: it adds what zlib leaves to its caller, the members of a gzip file one after the other
 * and the refusal of anything behind the end. */
#include "http/inflate.h"

#include <errno.h>
#include <stdlib.h>
#include <zlib.h>

enum { WINDOW_BITS = 15, WRAP_GZIP = 16, WRAP_BY_HEAD = 32, GZIP_FIRST_BYTE = 0x1f };

/*  FRESH ──first byte──▶ RUNNING ──end of stream──▶ WHOLE ──another gzip member──▶ RUNNING
 *                           └────── bad data ──▶ BROKEN ◀── any other byte ──┘            */
enum inflater_state { INFLATER_FRESH, INFLATER_RUNNING, INFLATER_WHOLE, INFLATER_BROKEN };

struct inflater {
    z_stream stream;
    enum inflater_state state;
    int is_gzip;
};

struct inflater *inflater_new(int32_t kind)
{
    struct inflater *z = calloc(1, sizeof *z);
    if (!z)
        return NULL;
    int bits = kind == INFLATER_RAW ? -WINDOW_BITS : WINDOW_BITS + WRAP_BY_HEAD;
    if (inflateInit2(&z->stream, bits) != Z_OK) {
        free(z);
        return NULL;
    }
    /* Raw deflate has no head: whatever byte comes first, it is not taken for a gzip member. */
    z->state = kind == INFLATER_RAW ? INFLATER_RUNNING : INFLATER_FRESH;
    return z;
}

void inflater_free(struct inflater *z)
{
    if (!z)
        return;
    inflateEnd(&z->stream);
    free(z);
}

static int fail(struct inflater *z, int error)
{
    z->state = INFLATER_BROKEN;
    return -error;
}

/* Makes the machine ready for the next byte of input, of which there is one. */
static int begin(struct inflater *z, unsigned char first)
{
    switch (z->state) {
    case INFLATER_FRESH:
        z->is_gzip = first == GZIP_FIRST_BYTE;
        break;
    case INFLATER_WHOLE:
        if (!z->is_gzip || first != GZIP_FIRST_BYTE)
            return fail(z, EINVAL);
        if (inflateReset2(&z->stream, WINDOW_BITS + WRAP_GZIP) != Z_OK)
            return fail(z, EINVAL);
        break;
    case INFLATER_RUNNING:
        break;
    case INFLATER_BROKEN:
        return -EINVAL;
    }
    z->state = INFLATER_RUNNING;
    return 0;
}

int32_t inflater_step(struct inflater *z, const char *in, uint32_t in_bytes, uint32_t *ret_used, char *out,
                      uint32_t out_bytes, int32_t *ret_done)
{
    if (z->state == INFLATER_BROKEN)
        return -EINVAL;
    if (in_bytes > 0) {
        int status = begin(z, (unsigned char)in[0]);
        if (status < 0)
            return status;
    }
    int status = Z_BUF_ERROR;
    z->stream.next_in = (z_const Bytef *)in;
    z->stream.avail_in = in_bytes;
    z->stream.next_out = (Bytef *)out;
    z->stream.avail_out = out_bytes;
    /* Without input it may still hold output that had no room; before the first byte and after the last it holds none. */
    if (z->state == INFLATER_RUNNING)
        status = inflate(&z->stream, Z_NO_FLUSH);
    if (status == Z_MEM_ERROR)
        return fail(z, ENOMEM);
    if (status != Z_OK && status != Z_STREAM_END && status != Z_BUF_ERROR)
        return fail(z, EINVAL);
    if (status == Z_STREAM_END)
        z->state = INFLATER_WHOLE;
    *ret_used = in_bytes - z->stream.avail_in;
    *ret_done = z->state == INFLATER_WHOLE;
    return (int32_t)(out_bytes - z->stream.avail_out);
}
