/* A content in a coding that nobody has made beforehand: gzip (RFC 1952), br (RFC 7932) or zstd (RFC 8878), on a thread. The levels are those from
 * which on time grows faster than what it saves. What does not become smaller by a tenth is not kept. */
#include <brotli/encode.h>
#include <errno.h>
#include <stdlib.h>
#include <zlib.h>
#include <zstd.h>

#include "base/must.h"
#include "file/load.h"

enum { GZIP_LEVEL = 6, GZIP_WINDOW = 15 + 16, GZIP_MEMORY = 8, BROTLI_LEVEL = 6, ZSTD_LEVEL = 9, STEP_BYTES = 65536 };

/* What is coded, and the room for it. */
struct packing {
    const struct file_task *task;
    const uint8_t *from;
    uint8_t *to;
    size_t from_bytes, to_bytes;
};

/* Each gives the bytes that it made; 0: there is not room enough, no memory, or nobody wants it any more. */
static size_t gzip(const struct packing *p)
{
    z_stream stream = { .next_out = p->to, .avail_out = (uInt)p->to_bytes };
    if (deflateInit2(&stream, GZIP_LEVEL, Z_DEFLATED, GZIP_WINDOW, GZIP_MEMORY, Z_DEFAULT_STRATEGY) != Z_OK)
        return 0;
    int result = Z_OK;
    while (result == Z_OK && stream.avail_out > 0 && !file_task_is_vain(p->task)) {
        size_t left = p->from_bytes - stream.total_in;
        stream.next_in = (Bytef *)p->from + stream.total_in;
        stream.avail_in = left < STEP_BYTES ? (uInt)left : STEP_BYTES;
        result = deflate(&stream, left <= STEP_BYTES ? Z_FINISH : Z_NO_FLUSH);
    }
    size_t made = result == Z_STREAM_END ? stream.total_out : 0;
    deflateEnd(&stream);
    return made;
}

static size_t brotli(const struct packing *p)
{
    BrotliEncoderState *encoder = BrotliEncoderCreateInstance(NULL, NULL, NULL);
    size_t left = p->from_bytes, room = p->to_bytes;
    const uint8_t *from = p->from;
    uint8_t *to = p->to;
    if (!encoder)
        return 0;
    BrotliEncoderSetParameter(encoder, BROTLI_PARAM_QUALITY, BROTLI_LEVEL);
    BrotliEncoderSetParameter(encoder, BROTLI_PARAM_SIZE_HINT, (uint32_t)left);
    bool ok = true;
    while (ok && !BrotliEncoderIsFinished(encoder) && room > 0 && !file_task_is_vain(p->task)) {
        size_t step = left < STEP_BYTES ? left : STEP_BYTES, rest = left - step;
        ok = BrotliEncoderCompressStream(encoder, rest ? BROTLI_OPERATION_PROCESS : BROTLI_OPERATION_FINISH, &step, &from, &room, &to, NULL);
        left = rest + step;
    }
    size_t made = BrotliEncoderIsFinished(encoder) ? (size_t)(to - p->to) : 0;
    BrotliEncoderDestroyInstance(encoder);
    return made;
}

static size_t zstd(const struct packing *p)
{
    ZSTD_CCtx *context = ZSTD_createCCtx();
    ZSTD_inBuffer in = { p->from, 0, 0 };
    ZSTD_outBuffer out = { p->to, p->to_bytes, 0 };
    if (!context)
        return 0;
    ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel, ZSTD_LEVEL);
    ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 1);
    ZSTD_CCtx_setPledgedSrcSize(context, p->from_bytes);
    size_t left = 1;
    while (left > 0 && !ZSTD_isError(left) && out.pos < out.size && !file_task_is_vain(p->task)) {
        in.size = p->from_bytes - in.pos < STEP_BYTES ? p->from_bytes : in.pos + STEP_BYTES;
        bool last = in.size == p->from_bytes;
        left = ZSTD_compressStream2(context, &out, &in, last ? ZSTD_e_end : ZSTD_e_continue);
        if (!last && !ZSTD_isError(left))
            left = 1;
    }
    ZSTD_freeCCtx(context);
    return left == 0 ? out.pos : 0;
}

void pack_run(struct file_task *task)
{
    static size_t (*const coders[FILE_CODINGS])(const struct packing *) = { [FILE_ZSTD] = zstd, [FILE_BROTLI] = brotli, [FILE_GZIP] = gzip };
    struct file_load *load = load_of(task);
    const struct file_entry *from = load->old;
    struct packing packing = { .task = task, .from = (const uint8_t *)from->bytes, .from_bytes = from->stamp.size };
    packing.to_bytes = packing.from_bytes - packing.from_bytes / 10; /* the bound of what is worth it */
    packing.to = malloc(packing.to_bytes);
    size_t made = packing.to ? coders[load->coding](&packing) : 0;
    char *fitting = made ? realloc(packing.to, made) : NULL;
    if (!fitting)
        free(packing.to);
    load->made = (struct file_made){ fitting, made, fitting ? 0 : -ENOSPC };
}
