/* Who holds an address that is in use: the kernel's tables come in, "nginx (pid 812)" goes out. */
#pragma once
#include "proc/address.h"

enum { HOLDER_BYTES = 96 };

/* Writes the name and pid of the process that listens on the address to `buffer` (≥ HOLDER_BYTES); of a process that this user may
 * not look into, its user; "" when nobody is found. Takes at most half a second. */
void holder_find(const struct address *address, char *buffer);
/* The same for the process at the other end of a connected unix socket. */
void holder_of_peer(int fd, char *buffer);
