/* A file's bytes, read ahead by two buffers while the one before is being sent. Comes in: a descriptor and a stretch of it. Goes out: pieces,
 * in order, lent until they are given back. Reading is the engine's (net_read): a disk that is slow stops nobody else. */
#pragma once
#include "base/slice.h"

struct net;
struct net_event;
struct file_reader;

enum { FILE_PIECE_BYTES = 65536 };

/* `streams` at once (at most 65535) share buffers of FILE_PIECE_BYTES: a stream of one piece has one, a longer one two. NET_DONE events of the
 * room carry the number `user`. NULL: out of memory. Buffers are made when first needed and kept. */
struct file_reader *file_reader_new(struct net *net, uint32_t streams, uint32_t user);
/* Free the engine first: it must have given up the buffers. */
void file_reader_free(struct file_reader *reader);
/* As many streams at once from now on, as far as there is memory. */
void file_reader_adapt(struct file_reader *reader, uint32_t streams);

/* Starts reading `length` > 0 bytes at `offset`; on success the descriptor is the stream's, which closes it. `owner` is for
 * whoever waits: file_stream_on_net() gives it back. 0, -ENOBUFS (all streams are in use) or -ENOMEM. */
int file_stream_begin(struct file_reader *reader, int fd, uint64_t offset, uint64_t length, uint32_t owner, uint32_t *ret_stream);
/* A NET_DONE whose user is that of the reader. 1: the stream of ret_owner has moved on, call file_stream_next(); 0: nothing to do. */
int file_stream_on_net(struct file_reader *reader, const struct net_event *event, uint32_t *ret_owner);
/* The next piece: 1, lent until file_stream_taken(); 0: being read; -ENODATA: all was taken; -EIO and the like: the rest cannot be
 * read; -ESPIPE: the file has become shorter than it was. The same piece again until it is taken. */
int file_stream_next(struct file_reader *reader, uint32_t stream, const char **ret_bytes, uint32_t *ret_count);
/* The piece is not needed any more: its buffer reads on. */
void file_stream_taken(struct file_reader *reader, uint32_t stream);
/* Always the last call, after all, in the middle or after an error. Reads that the kernel still holds are waited for without the caller. */
void file_stream_end(struct file_reader *reader, uint32_t stream);

struct file_reader_facts {
    uint32_t streams;  /* in use, those among them that only wait for the kernel */
    uint32_t ending;
    uint32_t buffers;  /* made so far, in use or kept */
};
void file_reader_facts(const struct file_reader *reader, struct file_reader_facts *ret_facts);
