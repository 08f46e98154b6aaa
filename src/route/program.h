/* The compiled form: one block of memory without pointers, written by compile.c and read by match.c. Private to route/.
 *
 *   header | hosts | nodes | choices | edges | texts
 *
 * A node stands for the patterns that agree, in shape, up to one segment. Its parameter and its wildcard are indexes in it;
 * its literal children are edges: rows of one open-addressing hash table for the whole program, keyed by (node, text).
 * The same table holds two more key spaces, told apart by the `parent` of a row: whole paths of purely literal routes
 * (their usual match is one lookup), and host names. */
#pragma once
#ifndef MG_CDEF
#include <stdint.h>
#endif
#include "route/route.h"

/* The two members of enum http_method that have a meaning here; route/ does not include http/, a spec compares them. */
enum { ROUTE_METHOD_GET = 0, ROUTE_METHOD_HEAD = 1 };

enum {
    /* No path, whatever a client sends, may visit more nodes than this in the routes of one host: route_add refuses the
     * route that would allow it. An ordinary table stays below a few dozen. */
    ROUTE_STEPS_MAX = 1024,
};

/* Values of route_edge.parent that are no node. Nodes are numbered below EDGE_WHOLE. */
enum {
    EDGE_WHOLE = 0x40000000,       /* + root: text is a whole path, child a node */
    EDGE_HOST = 0x7ffffffd,        /* text is a host name, child a host */
    EDGE_HOST_SUFFIX = 0x7ffffffe, /* text is what follows "*.", child a host */
    EDGE_EMPTY = 0x7fffffff,
};

enum { TEXTS_SLACK_BYTES = 8 }; /* behind the texts, so that eight bytes can be read from any */

struct route_edge {
    uint32_t parent, child;
    uint32_t text; /* offset in the texts */
    uint32_t mark; /* 16 bits of the hash, 16 of the text's length: foreign rows are passed over without a look at their text */
};

enum route_node_flag {
    NODE_LITERALS = 1 << 0, /* there are edges from this node */
    NODE_WHOLE = 1 << 1,    /* a root, with edges of whole paths */
};

struct route_node {
    uint32_t param, wildcard; /* nodes; 0: none (0 is a root, nobody's child) */
    uint32_t choices;         /* first of the routes that end here */
    uint16_t choice_count, flags;
};

/* Stored in order of preference: own HEAD, other methods, any method. A route with GET has the bit of HEAD too. */
struct route_choice {
    uint32_t methods;
    int32_t route;
};

struct route_host {
    uint32_t root;
    uint32_t wider; /* the next less specific host; 0, "any host", is the last */
};

struct route_program {
    uint32_t bytes;
    uint32_t host_count, node_count, choice_count, edge_slots;
    uint32_t hosts_at, nodes_at, choices_at, edges_at, texts_at; /* from the start of the block */
    uint32_t suffix_bytes_max;                                   /* longest name behind "*."; 0: none */
    uint32_t steps_max; /* nodes that a match can visit at most, over all hosts that it may try */
};

/* route_match that tells its cost: the nodes visited, 0 when the whole path was found in one lookup. Never more than
 * program->steps_max. */
uint32_t route_match_counted(const struct route_program *program, const char *host, uint32_t host_bytes, uint32_t method,
                             const char *path, uint32_t path_bytes, uint32_t skip, struct route_match *ret_match);
