/* A file's bytes, read ahead by two buffers that are lent to whoever sends them. Comes in: a descriptor and a stretch of it. Goes out: pieces, in
 * order, sent from where they were read to. Reading is the engine's (net_read): a disk that is slow stops nobody else. */
#pragma once
#include "base/slice.h"

struct net;
struct net_event;
struct net_loan;
struct file_reader;

enum { FILE_PIECE_BYTES = 65536 };

/* `streams` at once (at most 65535) share buffers of FILE_PIECE_BYTES, `bytes_max` in all: a stream of one piece has one, a longer one two.
 * NET_DONE events of the room carry the number `user`. NULL: out of memory. Buffers are made when first needed and kept. */
struct file_reader *file_reader_new(struct net *net, uint32_t streams, double bytes_max, uint32_t user);
/* Free the engine first: it must have given up the buffers. */
void file_reader_free(struct file_reader *reader);
/* Other bounds from now on, as far as there is memory. */
void file_reader_adapt(struct file_reader *reader, uint32_t streams, double bytes_max);

/* Starts reading `length` > 0 bytes at `offset`; on success the descriptor is the stream's, which closes it. `owner` is for
 * whoever waits: file_stream_on_net() gives it back. 0, -ENOBUFS (all streams, or buffers, are in use) or -ENOMEM. */
int file_stream_begin(struct file_reader *reader, int fd, uint64_t offset, uint64_t length, uint32_t owner, uint32_t *ret_stream);
/* A NET_DONE whose user is that of the reader. 1: the stream of ret_owner has moved on, call file_stream_next(); 0: nothing to do. */
int file_stream_on_net(struct file_reader *reader, const struct net_event *event, uint32_t *ret_owner);
/* The next piece: 1, to be sent by `loan` from where it lies, or copied; 0: being read; -EAGAIN: all buffers are lent, ask again when one of
 * their pieces has been sent; -ENODATA: all was taken; -EIO and the like: the rest cannot be read; -ESPIPE: the file has become shorter
 * than it was. The same piece again until it is taken. */
int file_stream_next(struct file_reader *reader, uint32_t stream, const char **ret_bytes, uint32_t *ret_count, struct net_loan **ret_loan);
/* The piece has been handed on: its buffer reads on when the loan is over. */
void file_stream_taken(struct file_reader *reader, uint32_t stream);
/* How many of its buffers are lent. */
uint32_t file_stream_lent(const struct file_reader *reader, uint32_t stream);
/* Always the last call, after all, in the middle or after an error. Reads that the kernel still holds, and what is still being
 * sent, are waited for without the caller. */
void file_stream_end(struct file_reader *reader, uint32_t stream);

struct file_reader_facts {
    uint32_t streams;  /* in use, those among them that only wait for the kernel */
    uint32_t ending;
    uint32_t buffers;  /* made so far, in use or kept */
};
void file_reader_facts(const struct file_reader *reader, struct file_reader_facts *ret_facts);
