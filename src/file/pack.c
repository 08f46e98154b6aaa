/* gzip, a piece per turn, so that a large file holds nobody up. What does not become smaller by a tenth is not kept. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "base/must.h"
#include "file/load.h"

enum { PIECE_BYTES = 32768, LEVEL = 6, GZIP_WINDOW = 15 + 16, MEMORY_LEVEL = 8 };

static bool pack_begin(struct file_load *load)
{
    struct file_entry *entry = load->entry, *from = load->old;
    z_stream *stream = calloc(1, sizeof *stream);
    if (!stream || deflateInit2(stream, LEVEL, Z_DEFLATED, GZIP_WINDOW, MEMORY_LEVEL, Z_DEFAULT_STRATEGY) != Z_OK) {
        free(stream);
        return false;
    }
    load->packing = stream;
    load->have = from->stamp.size - from->stamp.size / 10; /* room, and the bound of what is worth it */
    entry->bytes = malloc(load->have);
    stream->next_out = (Bytef *)entry->bytes;
    stream->avail_out = (uInt)load->have;
    return entry->bytes != NULL;
}

void pack_end(struct file_load *load)
{
    if (!load->packing)
        return;
    deflateEnd(load->packing);
    free(load->packing);
    load->packing = NULL;
}

static void packed(struct file_cache *cache, struct file_load *load)
{
    struct file_entry *entry = load->entry;
    entry->stamp = load->old->stamp;
    entry->stamp.size = load->packing->total_out;
    char *roomy = entry->bytes;
    if (entry_bytes_new(entry, entry->stamp.size)) {
        memcpy(entry->bytes, roomy, entry->stamp.size);
        free(roomy);
    } else {
        entry->bytes = roomy;
    }
    load_done(cache, load, FILE_MEMORY, 0, true);
}

void pack_step(struct file_cache *cache, struct file_load *load)
{
    const struct file_entry *from = load->old;
    if (!load->packing && !pack_begin(load)) {
        load_done(cache, load, FILE_FAILED, -ENOMEM, false);
        return;
    }
    z_stream *stream = load->packing;
    uint64_t left = from->stamp.size - stream->total_in;
    stream->next_in = (Bytef *)from->bytes + stream->total_in;
    stream->avail_in = left < PIECE_BYTES ? (uInt)left : PIECE_BYTES;
    int result = deflate(stream, left <= PIECE_BYTES ? Z_FINISH : Z_NO_FLUSH);
    if (result == Z_STREAM_END)
        packed(cache, load);
    else if (result != Z_OK || stream->avail_out == 0)
        load_done(cache, load, FILE_FAILED, -ENOSPC, false);
    else
        load_again(cache, load, 0);
}
