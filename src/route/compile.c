/* Builds route programs. The builder grows a tree of segments, route by route, so that a conflict is told with the route that
 * causes it; route_compile then lays the tree out as one block (program.h). Nothing here depends on the order of adding. */
#include "route/pattern.h"
#include "route/program.inl.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum { NO_ROUTE = 0x7fffffff, TEXTS_BYTES_MAX = 0x3fffffff };

struct builder_node {
    uint32_t capture[PATTERN_WILDCARD + 1]; /* child by PATTERN_PARAM and PATTERN_WILDCARD; 0: none */
    uint32_t steps[PATTERN_WILDCARD + 1];   /* the most nodes that a path can visit below, by kind of the child */
    uint32_t routes;                        /* those that end here: a list, or NO_ROUTE */
    uint32_t flags;                         /* enum route_node_flag */
};

struct builder_route {
    uint32_t methods;
    int32_t number;
    uint32_t next;
};

struct builder_host {
    uint32_t root, text, bytes;
};

/* Each array has `x_count` elements in use of `x_room`. */
struct route_builder {
    struct builder_node *nodes;
    struct builder_route *routes;
    struct builder_host *hosts; /* [0] is any host */
    struct route_edge *edges;   /* an open-addressing table of edge_room slots, at most half full */
    char *texts;
    uint32_t node_count, node_room, route_count, route_room, host_count, host_room, edge_count, edge_room, text_count, text_room;
    uint32_t suffix_bytes_max;
};

/* Makes room for `more` elements. Returns the array, moved or not, or NULL and the old one stays. */
static void *array_grow(void *array, uint32_t count, uint32_t *room, uint32_t more, size_t item)
{
    if (array && *room - count >= more)
        return array;
    uint32_t wanted = count + more > *room * 2 ? count + more + 16 : *room * 2;
    void *grown = realloc(array, wanted * item);
    if (grown)
        *room = wanted;
    return grown;
}

static void table_clear(struct route_edge *edges, uint32_t slots)
{
    for (uint32_t i = 0; i < slots; i++)
        edges[i] = (struct route_edge){ .parent = EDGE_EMPTY };
}

/* Places an edge that is not in the table yet; of its mark the length is given. */
static void table_place(struct route_edge *edges, uint32_t slots, const char *texts, struct route_edge edge)
{
    struct key key = key_make(edge.parent, texts + edge.text, edge.mark & 0xffff);
    uint32_t slot = key_slot(&key, slots);
    edge.mark = key_mark(&key);
    while (edges[slot].parent != EDGE_EMPTY)
        slot = slot + 1 == slots ? 0 : slot + 1;
    edges[slot] = edge;
}

static void table_copy(const struct route_builder *builder, struct route_edge *edges, uint32_t slots)
{
    table_clear(edges, slots);
    for (uint32_t i = 0; i < builder->edge_room; i++)
        if (builder->edges[i].parent != EDGE_EMPTY)
            table_place(edges, slots, builder->texts, builder->edges[i]);
}

static int table_grow(struct route_builder *builder)
{
    uint32_t slots = builder->edge_room ? builder->edge_room * 2 : 64;
    struct route_edge *edges = malloc(slots * sizeof *edges);
    if (!edges)
        return -ENOMEM;
    table_copy(builder, edges, slots);
    free(builder->edges);
    builder->edges = edges;
    builder->edge_room = slots;
    return 0;
}

static const struct route_edge *builder_edge(const struct route_builder *builder, uint32_t parent, const char *text, uint32_t bytes)
{
    struct key key = key_make(parent, text, bytes);
    return builder->edge_room ? edge_find(builder->edges, builder->edge_room, builder->texts, &key) : NULL;
}

/* `text`: offset of bytes that are already in the texts. */
static int builder_add_edge(struct route_builder *builder, uint32_t parent, uint32_t text, uint32_t bytes, uint32_t child)
{
    if (builder->edge_count * 2 >= builder->edge_room && table_grow(builder) < 0)
        return -ENOMEM;
    table_place(builder->edges, builder->edge_room, builder->texts,
                (struct route_edge){ .parent = parent, .child = child, .text = text, .mark = bytes });
    builder->edge_count++;
    return 0;
}

static int builder_add_text(struct route_builder *builder, const char *text, uint32_t bytes, uint32_t *ret_at)
{
    if (builder->text_count > TEXTS_BYTES_MAX)
        return -ENOMEM;
    char *texts = array_grow(builder->texts, builder->text_count, &builder->text_room, bytes + TEXTS_SLACK_BYTES, 1);
    if (!texts)
        return -ENOMEM;
    builder->texts = texts;
    memcpy(texts + builder->text_count, text, bytes);
    memset(texts + builder->text_count + bytes, 0, TEXTS_SLACK_BYTES);
    *ret_at = builder->text_count;
    builder->text_count += bytes;
    return 0;
}

static int builder_add_node(struct route_builder *builder, uint32_t *ret_node)
{
    if (builder->node_count >= EDGE_WHOLE)
        return -ENOMEM;
    struct builder_node *nodes = array_grow(builder->nodes, builder->node_count, &builder->node_room, 1, sizeof *nodes);
    if (!nodes)
        return -ENOMEM;
    builder->nodes = nodes;
    *ret_node = builder->node_count++;
    nodes[*ret_node] = (struct builder_node){ .routes = NO_ROUTE };
    return 0;
}

static int builder_add_host(struct route_builder *builder, const struct pattern_host *name, uint32_t *ret_root)
{
    struct builder_host *hosts = array_grow(builder->hosts, builder->host_count, &builder->host_room, 1, sizeof *hosts);
    if (!hosts)
        return -ENOMEM;
    builder->hosts = hosts;
    struct builder_host host = { .bytes = name->bytes };
    if (builder_add_node(builder, &host.root) < 0 || builder_add_text(builder, name->text, name->bytes, &host.text) < 0)
        return -ENOMEM;
    if (name->bytes > 0 && builder_add_edge(builder, name->wildcard ? EDGE_HOST_SUFFIX : EDGE_HOST, host.text, name->bytes,
                                            builder->host_count) < 0)
        return -ENOMEM;
    if (name->wildcard && name->bytes > builder->suffix_bytes_max)
        builder->suffix_bytes_max = name->bytes;
    hosts[builder->host_count++] = host;
    *ret_root = host.root;
    return 0;
}

static int builder_root(struct route_builder *builder, const struct pattern_host *name, uint32_t *ret_root)
{
    const struct route_edge *edge = NULL;
    if (name->bytes > 0) {
        edge = builder_edge(builder, name->wildcard ? EDGE_HOST_SUFFIX : EDGE_HOST, name->text, name->bytes);
        if (!edge)
            return builder_add_host(builder, name, ret_root);
    }
    *ret_root = builder->hosts[edge ? edge->child : 0].root;
    return 0;
}

struct route_builder *route_builder_new(void)
{
    const struct pattern_host any = { 0 };
    struct route_builder *builder = calloc(1, sizeof *builder);
    uint32_t root;
    if (builder && builder_add_host(builder, &any, &root) < 0) {
        route_builder_free(builder);
        return NULL;
    }
    return builder;
}

void route_builder_free(struct route_builder *builder)
{
    if (!builder)
        return;
    free(builder->nodes);
    free(builder->routes);
    free(builder->hosts);
    free(builder->edges);
    free(builder->texts);
    free(builder);
}

/* The way of one pattern through the tree: the node before each segment and, last, the one where it ends; 0: not made yet. */
struct trail {
    const struct pattern *pattern;
    uint32_t nodes[PATTERN_SEGMENTS_MAX + 1];
};

static void trail_follow(const struct route_builder *builder, struct trail *trail, uint32_t root)
{
    const struct pattern *pattern = trail->pattern;
    uint32_t node = root;
    memset(trail->nodes, 0, (pattern->segment_count + 1) * sizeof trail->nodes[0]);
    trail->nodes[0] = root;
    for (uint32_t i = 0; i < pattern->segment_count; i++) {
        const struct pattern_segment *segment = &pattern->segments[i];
        if (segment->kind == PATTERN_LITERAL) {
            const struct route_edge *edge = builder_edge(builder, node, pattern->text + segment->at, segment->bytes);
            node = edge ? edge->child : 0;
        } else {
            node = builder->nodes[node].capture[segment->kind];
        }
        if (node == 0)
            return;
        trail->nodes[i + 1] = node;
    }
}

static uint32_t node_steps(const struct builder_node *node)
{
    return 1 + node->steps[PATTERN_LITERAL] + node->steps[PATTERN_PARAM] + node->steps[PATTERN_WILDCARD];
}

/* The most nodes that a path can visit from the root once this pattern is in: of the literal children it takes one, and it may
 * come back for the parameter and the wildcard. `commit`: writes it into the nodes, which all exist then. */
static uint32_t trail_steps(struct route_builder *builder, const struct trail *trail, bool commit)
{
    uint32_t last = trail->pattern->segment_count;
    bool known = trail->nodes[last] != 0;
    uint32_t below = known ? node_steps(&builder->nodes[trail->nodes[last]]) : 1;
    for (uint32_t i = last; i-- > 0;) {
        struct builder_node absent = { 0 }, copy;
        struct builder_node *node = i == 0 || trail->nodes[i] ? &builder->nodes[trail->nodes[i]] : &absent;
        if (!commit) {
            copy = *node;
            node = &copy;
        }
        uint32_t *steps = &node->steps[trail->pattern->segments[i].kind];
        *steps = below > *steps ? below : *steps;
        below = node_steps(node);
    }
    return below;
}

/* Makes the child for segment `i`. `text`: where the pattern's text stands in the texts. */
static int trail_add_node(struct route_builder *builder, struct trail *trail, uint32_t i, uint32_t text)
{
    const struct pattern_segment *segment = &trail->pattern->segments[i];
    uint32_t parent = trail->nodes[i], child, raw_text;
    char raw[PATTERN_BYTES_MAX * 3];
    if (builder_add_node(builder, &child) < 0)
        return -ENOMEM;
    trail->nodes[i + 1] = child;
    if (segment->kind != PATTERN_LITERAL) {
        builder->nodes[parent].capture[segment->kind] = child;
        return 0;
    }
    builder->nodes[parent].flags |= NODE_LITERALS;
    uint32_t raw_bytes = pattern_raw_spelling(trail->pattern->text + segment->at, segment->bytes, raw);
    if (raw_bytes > 0 && (builder_add_text(builder, raw, raw_bytes, &raw_text) < 0 ||
                          builder_add_edge(builder, parent, raw_text, raw_bytes, child) < 0))
        return -ENOMEM;
    return builder_add_edge(builder, parent, text + segment->at, segment->bytes, child);
}

/* Makes the nodes that are missing. Edges point into one copy of the pattern's text. */
static int trail_complete(struct route_builder *builder, struct trail *trail)
{
    const struct pattern *pattern = trail->pattern;
    uint32_t last = pattern->segment_count, text;
    if (trail->nodes[last] != 0)
        return 0;
    if (builder_add_text(builder, pattern->text, pattern->text_bytes, &text) < 0)
        return -ENOMEM;
    for (uint32_t i = 0; i < last; i++)
        if (trail->nodes[i + 1] == 0 && trail_add_node(builder, trail, i, text) < 0)
            return -ENOMEM;
    trail_steps(builder, trail, true);
    return 0;
}

/* Any method and some methods do not conflict: the narrower one is preferred. */
static bool methods_conflict(uint32_t a, uint32_t b)
{
    return (a == UINT32_MAX) == (b == UINT32_MAX) && (a & b) != 0;
}

static const struct builder_route *builder_conflict(const struct route_builder *builder, uint32_t node, uint32_t methods)
{
    uint32_t at = node ? builder->nodes[node].routes : NO_ROUTE;
    while (at != NO_ROUTE && !methods_conflict(builder->routes[at].methods, methods))
        at = builder->routes[at].next;
    return at == NO_ROUTE ? NULL : &builder->routes[at];
}

/* Adds the whole path of a route without captures to the table, once. */
static int builder_add_whole(struct route_builder *builder, const struct trail *trail, uint32_t node)
{
    const struct pattern *pattern = trail->pattern;
    uint32_t root = trail->nodes[0], text;
    if (pattern->capture_count > 0 || builder_edge(builder, EDGE_WHOLE + root, pattern->text, pattern->text_bytes))
        return 0;
    if (builder_add_text(builder, pattern->text, pattern->text_bytes, &text) < 0)
        return -ENOMEM;
    builder->nodes[root].flags |= NODE_WHOLE;
    return builder_add_edge(builder, EDGE_WHOLE + root, text, pattern->text_bytes, node);
}

static int builder_add_route(struct route_builder *builder, uint32_t node, uint32_t methods, int32_t number)
{
    struct builder_route *routes = array_grow(builder->routes, builder->route_count, &builder->route_room, 1, sizeof *routes);
    if (!routes)
        return -ENOMEM;
    builder->routes = routes;
    routes[builder->route_count] = (struct builder_route){ methods, number, builder->nodes[node].routes };
    builder->nodes[node].routes = builder->route_count++;
    return 0;
}

/* The part of route_add after the texts have been read. */
static int builder_add_pattern(struct route_builder *builder, struct trail *trail, uint32_t root, uint32_t methods,
                               int32_t number, char *ret_message, uint32_t message_bytes, int32_t *ret_other)
{
    uint32_t last = trail->pattern->segment_count;
    trail_follow(builder, trail, root);
    const struct builder_route *other = builder_conflict(builder, trail->nodes[last], methods);
    if (other) {
        snprintf(ret_message, message_bytes, "route %d answers the same host, shape and method", other->number);
        *ret_other = other->number;
        return -EEXIST;
    }
    if (trail_steps(builder, trail, false) > ROUTE_STEPS_MAX) {
        snprintf(ret_message, message_bytes, "one path could fit more than %d partial patterns of this host: use fewer "
                 "parameters beside literal segments", ROUTE_STEPS_MAX);
        return -EINVAL;
    }
    if (trail_complete(builder, trail) < 0 || builder_add_whole(builder, trail, trail->nodes[last]) < 0)
        return -ENOMEM;
    return builder_add_route(builder, trail->nodes[last], methods, number);
}

int route_add(struct route_builder *builder, const char *host, uint32_t host_bytes, const char *pattern, uint32_t bytes,
              uint32_t methods, int32_t number, char *ret_message, uint32_t message_bytes, int32_t *ret_other)
{
    struct pattern parsed;
    struct pattern_host name;
    struct trail trail = { .pattern = &parsed };
    uint32_t root;
    if (methods == 0 || number < 0) {
        snprintf(ret_message, message_bytes, methods == 0 ? "no method" : "a route number is not negative");
        return -EINVAL;
    }
    int error = pattern_host_parse(host, host_bytes, &name, ret_message, message_bytes);
    if (error == 0)
        error = pattern_parse(pattern, bytes, &parsed, ret_message, message_bytes);
    if (error == 0)
        error = builder_root(builder, &name, &root);
    if (error)
        return error;
    return builder_add_pattern(builder, &trail, root, methods, number, ret_message, message_bytes, ret_other);
}

/* Order of preference within one node. */
static uint32_t methods_rank(uint32_t methods)
{
    if (methods == UINT32_MAX)
        return 2;
    return methods & 1u << ROUTE_METHOD_HEAD ? 0 : 1;
}

static uint32_t node_choices(const struct route_builder *builder, uint32_t routes, struct route_choice *ret)
{
    uint32_t count = 0;
    for (uint32_t rank = 0; rank <= 2; rank++) {
        for (uint32_t at = routes; at != NO_ROUTE; at = builder->routes[at].next) {
            uint32_t methods = builder->routes[at].methods;
            if (methods_rank(methods) != rank)
                continue;
            if (methods & 1u << ROUTE_METHOD_GET)
                methods |= 1u << ROUTE_METHOD_HEAD; /* RFC 9110 §9.3.2 */
            ret[count++] = (struct route_choice){ methods, builder->routes[at].number };
        }
    }
    return count;
}

static void program_fill_nodes(struct route_program *program, const struct route_builder *builder)
{
    struct route_node *nodes = (void *)((char *)program + program->nodes_at);
    struct route_choice *choices = (void *)((char *)program + program->choices_at);
    uint32_t choice_count = 0;
    for (uint32_t i = 0; i < builder->node_count; i++) {
        const struct builder_node *from = &builder->nodes[i];
        uint32_t count = node_choices(builder, from->routes, choices + choice_count);
        nodes[i] = (struct route_node){ .param = from->capture[PATTERN_PARAM],
                                        .wildcard = from->capture[PATTERN_WILDCARD],
                                        .choices = choice_count,
                                        .choice_count = (uint16_t)count,
                                        .flags = (uint16_t)from->flags };
        choice_count += count;
    }
}

/* Needs the edges. Each host is linked to the next wider one, so that matching follows links only. */
static void program_fill_hosts(struct route_program *program, const struct route_builder *builder)
{
    struct route_host *hosts = (void *)((char *)program + program->hosts_at);
    for (uint32_t i = 0; i < builder->host_count; i++) {
        const struct builder_host *from = &builder->hosts[i];
        hosts[i] = (struct route_host){ from->root, program_suffix_host(program, builder->texts + from->text, from->bytes) };
    }
    for (uint32_t i = 0; i < builder->host_count; i++) {
        uint32_t steps = 0;
        for (uint32_t at = i;; at = hosts[at].wider) {
            steps += node_steps(&builder->nodes[hosts[at].root]);
            if (at == 0)
                break;
        }
        program->steps_max = steps > program->steps_max ? steps : program->steps_max;
    }
}

struct route_program *route_compile(const struct route_builder *builder)
{
    struct route_program head = { .host_count = builder->host_count,
                                  .node_count = builder->node_count,
                                  .choice_count = builder->route_count,
                                  .edge_slots = builder->edge_count * 2 + 1,
                                  .suffix_bytes_max = builder->suffix_bytes_max };
    uint64_t hosts_at = sizeof head;
    uint64_t nodes_at = hosts_at + (uint64_t)head.host_count * sizeof(struct route_host);
    uint64_t choices_at = nodes_at + (uint64_t)head.node_count * sizeof(struct route_node);
    uint64_t edges_at = choices_at + (uint64_t)head.choice_count * sizeof(struct route_choice);
    uint64_t texts_at = edges_at + (uint64_t)head.edge_slots * sizeof(struct route_edge);
    uint64_t bytes = texts_at + builder->text_count + TEXTS_SLACK_BYTES;
    struct route_program *program = bytes <= UINT32_MAX ? malloc(bytes) : NULL;
    if (!program)
        return NULL;
    head.bytes = (uint32_t)bytes;
    head.hosts_at = (uint32_t)hosts_at;
    head.nodes_at = (uint32_t)nodes_at;
    head.choices_at = (uint32_t)choices_at;
    head.edges_at = (uint32_t)edges_at;
    head.texts_at = (uint32_t)texts_at;
    *program = head;
    memset((char *)program + texts_at + builder->text_count, 0, TEXTS_SLACK_BYTES);
    memcpy((char *)program + texts_at, builder->texts, builder->text_count);
    table_copy(builder, (void *)((char *)program + edges_at), head.edge_slots);
    program_fill_nodes(program, builder);
    program_fill_hosts(program, builder);
    return program;
}

void route_program_free(struct route_program *program)
{
    free(program);
}

uint32_t route_program_bytes(const struct route_program *program)
{
    return program->bytes;
}
