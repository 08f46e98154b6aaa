/* What this process was given when it was started. Listening sockets come from a service manager (sd_listen_fds(3)), so that ports below 1024
 * need no rights and connections wait while nothing runs yet; or, with the name and the control socket of the instance, from the master
 * that this one is to replace (upgrade.h). Whoever listens on their address takes them. */
#pragma once
#include <stdbool.h>

#include "proc/address.h"

enum { INHERIT_MAX = 1024 };

/* Of the master before; -1: there is none. */
struct inheritance {
    int lock, control;   /* the claim of the instance's name (names.h) */
    int stores;          /* memory of the dictionaries */
    int changes;         /* lines of what was said of upstreams while it ran */
    int tell;            /* to say that we serve; its end means that the master before is gone */
    int errors;          /* where standard error is to go once the start can only fail in a worker */
    uint32_t generation; /* the last that it served */
};

/* The variable that names the descriptor of the list that inherit_write() made. */
extern const char inherit_variable[];

/* Reads what the environment says once, when it is meant for this process, and takes it out of the environment. What is no listening stream
 * socket is closed. How many sockets there are. */
int inherit_init(struct inheritance *ret_before);
/* A socket that listens on this address (as it was written, or the same family, host and port, or path): its descriptor, which is the caller's
 * from here on; -1: there is none. Sockets of one address come one after the other, in the order they were given. *ret_ours: from the master
 * before, so that the path of a unix socket is ours to remove. */
int inherit_take(const struct address *address, bool *ret_ours);
/* Closes those that nobody took; their addresses as text. How many. */
int inherit_drop(char *ret_text, unsigned bytes);

struct inherited_socket {
    int fd;
    const char *text; /* its address as it was written */
};
/* Writes the list for a successor: a descriptor to hand down, or -errno. The descriptors in it are handed down by the caller, too. */
int inherit_write(const struct inheritance *before, const struct inherited_socket *sockets, uint32_t count);
