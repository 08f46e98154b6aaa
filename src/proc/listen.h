/* The listening sockets: addresses come in, one socket for each address and worker slot goes out. The master opens them once and
 * keeps them, so that a worker's replacement finds the connections that wait in its predecessor's queue. */
#pragma once
#include "proc/address.h"

enum { LISTEN_BACKLOG = 4096, LISTEN_PROBLEM_BYTES = 512 };

struct listeners {
    uint32_t count, slots;
    struct address *addresses; /* [count], with the ports chosen; owned */
    int *fds;                  /* [slots × count], -1: not open; owned. A unix socket is one, shared by all slots */
    uint64_t *files;           /* [count], inode of a unix socket's file, 0: none of ours; owned */
};

/* Opens all or nothing. 0, or -errno with a sentence in ret_problem (≥ LISTEN_PROBLEM_BYTES); -EADDRINUSE names the holder. */
int listeners_open(struct listeners *ret_listeners, const struct address *addresses, uint32_t count, uint32_t slots,
                   char *ret_problem);
/* The sockets of a slot, in the order of the addresses. */
const int *listeners_of(const struct listeners *listeners, uint32_t slot);
/* Closes them and removes the files of unix sockets that are still ours. */
void listeners_close(struct listeners *listeners);
