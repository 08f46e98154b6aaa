/* Streams of file content: slots, two buffers each, and a join at the end because the kernel may still be writing into them.
 *
 *   a buffer: EMPTY ─read─▶ READING ─NET_DONE─▶ FULL ─taken─▶ LENT ─sent─▶ EMPTY     (FAILED: an error instead of bytes)
 *
 * Buffers that are lent beyond the end of their stream wait aside until they are sent. */
#include "file/stream.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/must.h"
#include "base/reserve.h"
#include "net/net.h"

enum { INDEX_BITS = 16, HALVES = 2, STREAMS_MAX = 65535 };

enum half_state { HALF_EMPTY, HALF_READING, HALF_FULL, HALF_LENT, HALF_FAILED };

struct buffer {
    struct buffer *next;
    struct net_loan loan;
    char bytes[FILE_PIECE_BYTES];
};

struct half {
    struct buffer *buffer;
    uint64_t offset;      /* in the file, of the buffer's first byte */
    uint32_t want, have;
    int32_t error;
    uint8_t state;        /* enum half_state */
};

enum stream_state { STREAM_FREE, STREAM_OPEN, STREAM_ENDING };

struct stream {
    struct half half[HALVES];
    uint64_t next_offset, unread; /* what no buffer has been asked for yet */
    uint64_t untaken;
    uint32_t owner, generation, next;
    int fd;
    uint8_t state;        /* enum stream_state */
    uint8_t current;      /* the half whose bytes are next */
};

struct file_reader {
    struct net *net;
    struct reserve store;
    struct stream *streams;
    struct buffer *buffers, *lent; /* free; given up but still being sent */
    double bytes_max;
    uint32_t user, bound, room, top, free, count, ending, buffer_count;
};

static uint32_t index_of(const struct file_reader *reader, const struct stream *stream)
{
    return (uint32_t)(stream - reader->streams);
}

static struct stream *stream_of(const struct file_reader *reader, uint32_t number)
{
    uint32_t index = number & ((1u << INDEX_BITS) - 1);
    must(index < reader->top);
    struct stream *stream = &reader->streams[index];
    must(stream->state == STREAM_OPEN && stream->generation == number >> INDEX_BITS);
    return stream;
}

/* ---- birth and death ---- */

struct file_reader *file_reader_new(struct net *net, uint32_t streams, double bytes_max, uint32_t user)
{
    struct file_reader *reader = calloc(1, sizeof *reader);
    if (!reader)
        return NULL;
    reader->net = net;
    reader->user = user;
    reader->bytes_max = bytes_max;
    reader->room = reader->bound = streams < STREAMS_MAX ? streams : STREAMS_MAX;
    reader->free = UINT32_MAX;
    if (reserve_init(&reader->store, reader->room * sizeof *reader->streams, STREAMS_MAX * sizeof *reader->streams) < 0) {
        free(reader);
        return NULL;
    }
    reader->streams = (struct stream *)reader->store.at;
    return reader;
}

void file_reader_adapt(struct file_reader *reader, uint32_t streams, double bytes_max)
{
    reader->bytes_max = bytes_max;
    if (streams > STREAMS_MAX)
        streams = STREAMS_MAX;
    if (streams > reader->room && reserve_grow(&reader->store, streams * sizeof *reader->streams) == 0)
        reader->room = streams;
    reader->bound = streams < reader->room ? streams : reader->room;
}

static void buffers_free(struct buffer *first)
{
    for (struct buffer *buffer = first, *next; buffer; buffer = next) {
        next = buffer->next;
        free(buffer);
    }
}

void file_reader_free(struct file_reader *reader)
{
    if (!reader)
        return;
    for (uint32_t i = 0; i < reader->top; i++) {
        struct stream *stream = &reader->streams[i];
        if (stream->state != STREAM_FREE)
            close(stream->fd);
        free(stream->half[0].buffer);
        free(stream->half[1].buffer);
    }
    buffers_free(reader->buffers);
    buffers_free(reader->lent);
    reserve_fini(&reader->store);
    free(reader);
}

/* ---- buffers ---- */

static void buffer_put(struct file_reader *reader, struct buffer *buffer)
{
    if (!buffer)
        return;
    struct buffer **list = buffer->loan.pieces > 0 ? &reader->lent : &reader->buffers;
    buffer->next = *list;
    *list = buffer;
}

/* Those that have been sent are free again. */
static void lent_sweep(struct file_reader *reader)
{
    struct buffer *first = reader->lent;
    reader->lent = NULL;
    for (struct buffer *buffer = first, *next; buffer; buffer = next) {
        next = buffer->next;
        buffer_put(reader, buffer);
    }
}

/* -ENOBUFS: the bound is reached. */
static int buffer_get(struct file_reader *reader, struct buffer **ret_buffer)
{
    if (!reader->buffers)
        lent_sweep(reader);
    struct buffer *buffer = reader->buffers;
    if (buffer) {
        reader->buffers = buffer->next;
    } else {
        if ((reader->buffer_count + 1) * (double)sizeof *buffer > reader->bytes_max)
            return -ENOBUFS;
        buffer = malloc(sizeof *buffer);
        if (!buffer)
            return -ENOMEM;
        reader->buffer_count++;
    }
    buffer->loan = (struct net_loan){ 0 };
    *ret_buffer = buffer;
    return 0;
}

/* ---- reading ---- */

static void half_fail(struct half *half, int error)
{
    half->state = HALF_FAILED;
    half->error = error;
}

/* Asks for what is missing in a half. */
static void half_read(struct file_reader *reader, struct stream *stream, struct half *half)
{
    double token = (double)(index_of(reader, stream) * HALVES + (uint32_t)(half - stream->half));
    int error = net_read(reader->net, stream->fd, half->buffer->bytes + half->have, half->want - half->have, half->offset + half->have, reader->user, token);
    if (error)
        half_fail(half, error);
    else
        half->state = HALF_READING;
}

/* Gives an empty half the next stretch, if there is one. */
static void half_fill(struct file_reader *reader, struct stream *stream, struct half *half)
{
    if (half->state != HALF_EMPTY || stream->unread == 0 || !half->buffer)
        return;
    half->want = stream->unread < FILE_PIECE_BYTES ? (uint32_t)stream->unread : FILE_PIECE_BYTES;
    half->have = 0;
    half->offset = stream->next_offset;
    stream->next_offset += half->want;
    stream->unread -= half->want;
    half_read(reader, stream, half);
}

static void stream_put(struct file_reader *reader, struct stream *stream)
{
    for (int i = 0; i < HALVES; i++) {
        buffer_put(reader, stream->half[i].buffer);
        stream->half[i] = (struct half){ 0 };
    }
    stream->fd = -1;
    stream->state = STREAM_FREE;
    stream->generation = (stream->generation + 1) & ((1u << (32 - INDEX_BITS)) - 1);
    stream->next = reader->free;
    reader->free = index_of(reader, stream);
    reader->count--;
}

/* The slot is free once the kernel holds no buffer of it. */
static void try_join(struct file_reader *reader, struct stream *stream)
{
    if (stream->state != STREAM_ENDING || stream->half[0].state == HALF_READING || stream->half[1].state == HALF_READING)
        return;
    close(stream->fd);
    reader->ending--;
    stream_put(reader, stream);
}

static struct stream *stream_get(struct file_reader *reader)
{
    uint32_t index = reader->free;
    if (reader->count >= reader->bound)
        return NULL;
    if (index != UINT32_MAX)
        reader->free = reader->streams[index].next;
    else if (reader->top < reader->room)
        index = reader->top++;
    else
        return NULL;
    reader->count++;
    return &reader->streams[index];
}

int file_stream_begin(struct file_reader *reader, int fd, uint64_t offset, uint64_t length, uint32_t owner, uint32_t *ret_stream)
{
    must(length > 0);
    struct buffer *first = NULL;
    int short_of = buffer_get(reader, &first);
    struct stream *stream = first ? stream_get(reader) : NULL;
    if (!stream) {
        buffer_put(reader, first);
        return first ? -ENOBUFS : short_of;
    }
    *stream = (struct stream){ .next_offset = offset, .unread = length, .untaken = length, .owner = owner,
                               .generation = stream->generation, .fd = fd, .state = STREAM_OPEN };
    stream->half[0].buffer = first;
    half_fill(reader, stream, &stream->half[0]);
    if (stream->half[0].state == HALF_FAILED) { /* the engine takes no more reads now */
        int error = stream->half[0].error;
        stream_put(reader, stream);
        return error;
    }
    if (stream->unread)
        buffer_get(reader, &stream->half[1].buffer); /* without it the stream works, only not ahead */
    half_fill(reader, stream, &stream->half[1]);
    *ret_stream = stream->generation << INDEX_BITS | index_of(reader, stream);
    return 0;
}

static void half_done(struct file_reader *reader, struct stream *stream, struct half *half, int32_t result)
{
    if (stream->state == STREAM_ENDING) {
        half->state = HALF_EMPTY;
        return;
    }
    if (result == 0) {
        half_fail(half, -ESPIPE);
        return;
    }
    if (result < 0 && result != -EINTR && result != -EAGAIN) {
        half_fail(half, result);
        return;
    }
    half->have += result > 0 ? (uint32_t)result : 0;
    half->state = HALF_FULL;
    if (half->have < half->want)
        half_read(reader, stream, half);
}

int file_stream_on_net(struct file_reader *reader, const struct net_event *event, uint32_t *ret_owner)
{
    uint32_t token = (uint32_t)event->token;
    must(event->kind == NET_DONE && event->user == reader->user && token / HALVES < reader->top);
    struct stream *stream = &reader->streams[token / HALVES];
    struct half *half = &stream->half[token % HALVES];
    must(half->state == HALF_READING);
    half_done(reader, stream, half, event->result);
    try_join(reader, stream);
    if (stream->state != STREAM_OPEN)
        return 0;
    *ret_owner = stream->owner;
    return half->state != HALF_READING && half == &stream->half[stream->current];
}

/* ---- taking ---- */

/* What was lent and has been sent reads on. */
static void halves_reclaim(struct file_reader *reader, struct stream *stream)
{
    for (uint32_t i = 0; i < HALVES; i++) {
        struct half *half = &stream->half[(stream->current + i) % HALVES]; /* the older first: it has the earlier stretch */
        if (half->state != HALF_LENT || half->buffer->loan.pieces > 0)
            continue;
        half->state = HALF_EMPTY;
        half_fill(reader, stream, half);
    }
}

int file_stream_next(struct file_reader *reader, uint32_t number, const char **ret_bytes, uint32_t *ret_count, struct net_loan **ret_loan)
{
    struct stream *stream = stream_of(reader, number);
    if (stream->untaken == 0)
        return -ENODATA;
    halves_reclaim(reader, stream);
    struct half *half = &stream->half[stream->current];
    if (half->state == HALF_FAILED)
        return half->error;
    if (half->state == HALF_LENT)
        return -EAGAIN;
    if (half->state != HALF_FULL)
        return 0;
    *ret_bytes = half->buffer->bytes;
    *ret_count = half->have;
    *ret_loan = &half->buffer->loan;
    return 1;
}

void file_stream_taken(struct file_reader *reader, uint32_t number)
{
    struct stream *stream = stream_of(reader, number);
    struct half *half = &stream->half[stream->current];
    must(half->state == HALF_FULL);
    stream->untaken -= half->have;
    half->state = HALF_LENT;
    if (stream->half[1].buffer)
        stream->current ^= 1;
    halves_reclaim(reader, stream);
}

uint32_t file_stream_lent(const struct file_reader *reader, uint32_t number)
{
    const struct stream *stream = stream_of(reader, number);
    return (uint32_t)(stream->half[0].state == HALF_LENT) + (stream->half[1].state == HALF_LENT);
}

void file_stream_end(struct file_reader *reader, uint32_t number)
{
    struct stream *stream = stream_of(reader, number);
    stream->state = STREAM_ENDING;
    reader->ending++;
    try_join(reader, stream);
}

void file_reader_facts(const struct file_reader *reader, struct file_reader_facts *ret_facts)
{
    *ret_facts = (struct file_reader_facts){ reader->count, reader->ending, reader->buffer_count };
}
