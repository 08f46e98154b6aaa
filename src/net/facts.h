/* What an engine tells of itself. Part of net.h. */
#pragma once
#include <stdint.h>

struct net;

struct net_facts {
    uint32_t connections, paused, timers;
    uint32_t timers_most;      /* that may run */
    uint32_t file_ops, file_ops_most; /* that the kernel has */
    uint32_t lent_free;        /* buffers the kernel may use now */
    uint32_t out_bytes;        /* memory in output blocks */
    uint64_t no_buffers;       /* times the kernel found no buffer */
    uint64_t overflows;        /* completions lost: no memory to keep what did not fit the completion ring */
    uint64_t turns, enters;
    uint64_t bytes_in, bytes_out;
};
void net_facts(const struct net *net, struct net_facts *ret_facts);
