/* Runs the flat program: host, method and path in, a route and its captures out. Reads the program and the path, writes the
 * match, allocates nothing.
 *
 * The walk goes down the tree of segments and keeps, on a stack, the parameter and the wildcard that it passed by. What is pushed
 * later is more specific, so the first fitting route is the one to take. The tree has no joins: a node is reached by one way
 * only and visited at most once, so the cost of the worst path is the number of nodes that fit it at once, which
 * compile.c bounds (ROUTE_STEPS_MAX); the stack is bounded by the length of a pattern. */
#include "route/pattern.h"
#include "route/program.inl.h"

/* A capture that may still be taken: the node behind it, and the bytes it captures. */
struct frame {
    uint32_t node;
    uint16_t at, bytes;
    uint32_t captures; /* taken before it */
};

struct walk {
    const struct route_program *program;
    const char *path;
    uint32_t bytes;
    uint32_t wanted; /* 1 << method */
    uint32_t skip;   /* candidates still to be passed over */
    uint32_t steps;
    uint32_t allow;
    struct route_match *match;
};

/* Takes the first route of a node that has the method and is not to be skipped. */
static bool walk_choose(struct walk *walk, const struct route_node *node, uint32_t captures)
{
    const struct route_choice *choice = program_choices(walk->program) + node->choices;
    for (const struct route_choice *end = choice + node->choice_count; choice < end; choice++) {
        walk->allow |= choice->methods;
        if (!(choice->methods & walk->wanted) || (walk->skip > 0 && walk->skip--))
            continue;
        walk->match->route = choice->route;
        walk->match->capture_count = captures;
        return true;
    }
    return false;
}

/* Pushes the captures that the segment may be, the less specific first. */
static inline struct frame *walk_push(const struct walk *walk, const struct route_node *node, uint32_t at, uint32_t bytes,
                                      uint32_t captures, struct frame *top)
{
    if (node->wildcard)
        *top++ = (struct frame){ node->wildcard, (uint16_t)at, (uint16_t)(walk->bytes - at), captures };
    if (node->param && bytes > 0)
        *top++ = (struct frame){ node->param, (uint16_t)at, (uint16_t)bytes, captures };
    return top;
}

/* Tries the routes below one root. `at` is the segment that comes next; beyond the path when all of it is used. */
static bool walk_tree(struct walk *walk, uint32_t number)
{
    const struct route_program *program = walk->program;
    const struct route_node *nodes = program_nodes(program);
    struct frame stack[PATTERN_SEGMENTS_MAX * 2], *top = stack;
    uint32_t at = 1, captures = 0;
    for (;;) {
        const struct route_node *node = nodes + number;
        walk->steps++;
        if (at > walk->bytes) {
            if (walk_choose(walk, node, captures))
                return true;
        } else {
            struct key key = key_make_segment(number, walk->path, at, walk->bytes);
            top = walk_push(walk, node, at, key.bytes, captures, top);
            const struct route_edge *edge = node->flags & NODE_LITERALS ? program_edge(program, &key) : NULL;
            if (edge) {
                number = edge->child;
                at += key.bytes + 1;
                continue;
            }
        }
        if (top == stack)
            return false;
        top--;
        number = top->node;
        at = (uint32_t)top->at + top->bytes + 1;
        captures = top->captures;
        walk->match->captures[captures++] = (struct route_capture){ top->at, top->bytes };
    }
}

/* One lookup for a route without captures: nothing is more specific. For the first candidate only. */
static inline bool match_whole(const struct route_program *program, uint32_t root, uint32_t wanted, const char *path,
                               uint32_t bytes, struct route_match *match)
{
    const struct route_node *nodes = program_nodes(program);
    if (!(nodes[root].flags & NODE_WHOLE))
        return false;
    struct key key = key_make(EDGE_WHOLE + root, path, bytes);
    const struct route_edge *edge = program_edge(program, &key);
    if (!edge)
        return false;
    const struct route_choice *choice = program_choices(program) + nodes[edge->child].choices;
    for (uint32_t left = nodes[edge->child].choice_count; left > 0; left--, choice++) {
        if (choice->methods & wanted) {
            match->route = choice->route;
            return true;
        }
    }
    return false;
}

/* From the host that was found to the wider ones. */
__attribute__((noinline)) static uint32_t walk_hosts(struct walk walk, uint32_t at)
{
    const struct route_host *hosts = program_hosts(walk.program);
    while (!walk_tree(&walk, hosts[at].root)) {
        if (at == 0) {
            walk.match->allow = walk.allow;
            break;
        }
        at = hosts[at].wider;
    }
    return walk.steps;
}

/* Without its port and its last dot, in lower case. Returns the length; 0 for what no host of a program can be. */
static uint32_t host_name(const char *host, uint32_t bytes, char ret[PATTERN_HOST_BYTES_MAX])
{
    bool is_address = bytes > 0 && host[0] == '[';
    const char *end = bytes > 0 ? memchr(host, is_address ? ']' : ':', bytes) : NULL;
    if (!end && is_address)
        return 0;
    if (end)
        bytes = (uint32_t)(end - host) + is_address;
    if (bytes > 1 && host[bytes - 1] == '.')
        bytes--;
    if (bytes > PATTERN_HOST_BYTES_MAX)
        return 0;
    for (uint32_t at = 0; at < bytes; at++)
        ret[at] = host[at] >= 'A' && host[at] <= 'Z' ? (char)(host[at] | 0x20) : host[at];
    return bytes;
}

/* Out of line, as walk_hosts is: their frames are no cost to the program without hosts and the path without captures. */
__attribute__((noinline)) static uint32_t host_find(const struct route_program *program, const char *host, uint32_t bytes)
{
    char name[PATTERN_HOST_BYTES_MAX];
    bytes = host_name(host, bytes, name);
    if (bytes == 0)
        return 0;
    struct key key = key_make(EDGE_HOST, name, bytes);
    const struct route_edge *edge = program_edge(program, &key);
    return edge ? edge->child : program_suffix_host(program, name, bytes);
}

uint32_t route_match_counted(const struct route_program *program, const char *host, uint32_t host_bytes, uint32_t method,
                             const char *path, uint32_t path_bytes, uint32_t skip, struct route_match *ret_match)
{
    uint32_t wanted = 1u << (method & 31);
    ret_match->route = ROUTE_NONE;
    ret_match->allow = ret_match->capture_count = 0;
    if (path_bytes == 0 || path_bytes > UINT16_MAX || path[0] != '/')
        return 0;
    uint32_t at = program->host_count > 1 ? host_find(program, host, host_bytes) : 0;
    if (skip == 0 && match_whole(program, program_hosts(program)[at].root, wanted, path, path_bytes, ret_match))
        return 0;
    return walk_hosts((struct walk){ program, path, path_bytes, wanted, skip, 0, 0, ret_match }, at);
}

void route_match(const struct route_program *program, const char *host, uint32_t host_bytes, uint32_t method,
                 const char *path, uint32_t path_bytes, uint32_t skip, struct route_match *ret_match)
{
    route_match_counted(program, host, host_bytes, method, path, path_bytes, skip, ret_match);
}
