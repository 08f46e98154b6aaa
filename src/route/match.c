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

/* Where the segment that begins at `at` ends: the next slash or the end. Eight bytes at a time. */
static inline uint32_t segment_end(const char *path, uint32_t at, uint32_t bytes)
{
    const uint64_t ones = 0x0101010101010101u;
    for (; at + 8 <= bytes; at += 8) {
        uint64_t word = load64(path + at) ^ ones * '/';
        uint64_t zeros = (word - ones) & ~word & ones << 7;
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
        if (zeros)
            return at + (uint32_t)__builtin_ctzll(zeros) / 8;
#else
        if (zeros)
            break;
#endif
    }
    while (at < bytes && path[at] != '/')
        at++;
    return at;
}

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

/* Pushes the captures that the segment at..end may be, the less specific first. */
static inline struct frame *walk_push(const struct walk *walk, const struct route_node *node, uint32_t at, uint32_t end,
                                      uint32_t captures, struct frame *top)
{
    if (node->wildcard)
        *top++ = (struct frame){ node->wildcard, (uint16_t)at, (uint16_t)(walk->bytes - at), captures };
    if (node->param && end > at)
        *top++ = (struct frame){ node->param, (uint16_t)at, (uint16_t)(end - at), captures };
    return top;
}

/* Tries the routes below one root. `at` is the segment that comes next; beyond the path when all of it is used. */
static bool walk_tree(struct walk *walk, uint32_t root)
{
    const struct route_node *nodes = program_nodes(walk->program), *node = nodes + root;
    struct frame stack[PATTERN_SEGMENTS_MAX * 2], *top = stack;
    uint32_t at = 1, captures = 0;
    for (;;) {
        walk->steps++;
        if (at > walk->bytes) {
            if (walk_choose(walk, node, captures))
                return true;
        } else {
            uint32_t end = segment_end(walk->path, at, walk->bytes);
            const struct route_edge *edge = NULL;
            top = walk_push(walk, node, at, end, captures, top);
            if (node->flags & NODE_LITERALS)
                edge = program_edge(walk->program, (uint32_t)(node - nodes), walk->path + at, end - at);
            if (edge) {
                node = nodes + edge->child;
                at = end + 1;
                continue;
            }
        }
        if (top == stack)
            return false;
        top--;
        node = nodes + top->node;
        at = (uint32_t)top->at + top->bytes + 1;
        captures = top->captures;
        walk->match->captures[captures++] = (struct route_capture){ top->at, top->bytes };
    }
}

/* One lookup for routes without captures: nothing is more specific. Only for the first candidate. */
static bool walk_whole_path(struct walk *walk, uint32_t root)
{
    const struct route_node *nodes = program_nodes(walk->program);
    if (walk->skip > 0 || !(nodes[root].flags & NODE_WHOLE))
        return false;
    const struct route_edge *edge = program_edge(walk->program, EDGE_WHOLE + root, walk->path, walk->bytes);
    return edge && walk_choose(walk, nodes + edge->child, 0);
}

/* Without its port and its last dot, in lower case. Returns the length; 0 for what no host of a program can be. */
static uint32_t host_name(const char *host, uint32_t bytes, char ret[PATTERN_HOST_BYTES_MAX])
{
    const char *end = bytes > 0 && host[0] == '[' ? memchr(host, ']', bytes) : memchr(host, ':', bytes);
    if (end)
        bytes = (uint32_t)(end - host) + (*end == ']');
    if (bytes > 1 && host[bytes - 1] == '.')
        bytes--;
    if (bytes > PATTERN_HOST_BYTES_MAX)
        return 0;
    for (uint32_t at = 0; at < bytes; at++)
        ret[at] = host[at] >= 'A' && host[at] <= 'Z' ? (char)(host[at] | 0x20) : host[at];
    return bytes;
}

static uint32_t host_find(const struct route_program *program, const char *host, uint32_t bytes)
{
    char name[PATTERN_HOST_BYTES_MAX];
    if (program->host_count == 1)
        return 0;
    bytes = host_name(host, bytes, name);
    if (bytes == 0)
        return 0;
    const struct route_edge *edge = program_edge(program, EDGE_HOST, name, bytes);
    return edge ? edge->child : program_suffix_host(program, name, bytes);
}

uint32_t route_match_counted(const struct route_program *program, const char *host, uint32_t host_bytes, uint32_t method,
                             const char *path, uint32_t path_bytes, uint32_t skip, struct route_match *ret_match)
{
    struct walk walk = { program, path, path_bytes, 1u << (method & 31), skip, 0, 0, ret_match };
    ret_match->route = ROUTE_NONE;
    ret_match->allow = ret_match->capture_count = 0;
    if (path_bytes == 0 || path_bytes > UINT16_MAX || path[0] != '/')
        return 0;
    for (uint32_t at = host_find(program, host, host_bytes);; at = program_hosts(program)[at].wider) {
        uint32_t root = program_hosts(program)[at].root;
        if (walk_whole_path(&walk, root) || walk_tree(&walk, root))
            return walk.steps;
        if (at == 0)
            break;
    }
    ret_match->allow = walk.allow;
    return walk.steps;
}

void route_match(const struct route_program *program, const char *host, uint32_t host_bytes, uint32_t method,
                 const char *path, uint32_t path_bytes, uint32_t skip, struct route_match *ret_match)
{
    route_match_counted(program, host, host_bytes, method, path, path_bytes, skip, ret_match);
}
