/* The engine on epoll, for its own files: where a kernel or a sandbox refuses io_uring. Sockets are tried at once, and waited for when they
 * would block; files are read by threads when the kernel has no answer at hand. */
#pragma once
#include <sys/epoll.h>

#include "net/engine.h"
#include "net/threads.h"

enum { EVENTS_MAX = 512 };

struct epoll {
    struct net net;
    int fd, count; /* events of this turn */
    uint32_t ready_first, ready_last; /* connections that have something to receive, or are waited for by their close */
    struct threads *threads; /* NULL until there is work for them */
    struct epoll_event events[EVENTS_MAX];
};

/* epoll_conn.c: what a connection is told of, and those that were put on the list of the ready. */
void epoll_conn_event(struct net *net, uint32_t index, uint32_t generation, uint32_t mask);
void epoll_conns_ready(struct net *net);
void epoll_receive(struct net *net, struct conn *conn);
void epoll_receive_stop(struct net *net, struct conn *conn);
void epoll_send(struct net *net, struct conn *conn);
void epoll_send_room(struct net *net, struct conn *conn);
void epoll_connect(struct net *net, struct conn *conn, const struct sockaddr *address, uint32_t address_bytes);
void epoll_conn_stop(struct net *net, struct conn *conn);

/* epoll_file.c */
void epoll_file(struct net *net, const struct file_request *request);
void epoll_files_done(struct net *net);

#include "net/epoll.inl.h"
