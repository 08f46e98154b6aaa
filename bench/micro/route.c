/* Instructions per match of the router, for 1 to 10,000 routes: the table must not grow more expensive with its size.
 * Needs valgrind. Run from the top of the tree:
 *   cc -O2 -g -std=gnu11 -D_GNU_SOURCE -Isrc -o /tmp/bench-route bench/micro/route.c src/route/[a-z]*.c && /tmp/bench-route
 * Without arguments it runs itself under callgrind, once per cell, and prints the table; then the time and the memory that
 * compiling takes. `bench-route SHAPE ROUTES` is one cell. */
#include "route/route.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MATCHES = 1000 };

/* In each, %u is the number of the route; "absent" asks for what is not there. */
static const struct shape {
    const char *name, *pattern, *path;
} shapes[] = {
    { "literal", "/api/resource%u/items", "/api/resource%u/items" },
    { "one param", "/api/resource%u/:id", "/api/resource%u/81723" },
    { "two params", "/api/resource%u/:id/parts/:part", "/api/resource%u/81723/parts/wheel" },
    { "param first", "/:tenant/resource%u/items", "/acme/resource%u/items" },
    { "wildcard", "/assets%u/*path", "/assets%u/css/site/main.css" },
    { "absent", "/api/resource%u/items", "/api/resource%u/things" },
};
static const uint32_t sizes[] = { 1, 100, 1000, 10000 };

static struct route_program *program_make(const struct shape *shape, uint32_t routes)
{
    struct route_builder *builder = route_builder_new();
    for (uint32_t i = 0; i < routes; i++) {
        char pattern[128], message[256];
        int32_t other;
        int bytes = snprintf(pattern, sizeof pattern, shape->pattern, i);
        if (route_add(builder, "", 0, pattern, (uint32_t)bytes, 1, (int32_t)i, message, sizeof message, &other) < 0)
            abort();
    }
    struct route_program *program = route_compile(builder);
    route_builder_free(builder);
    return program;
}

/* Matches spread over the whole table; callgrind counts inside route_match only. */
static int cell_run(const struct shape *shape, uint32_t routes)
{
    struct route_program *program = program_make(shape, routes);
    struct route_match match;
    for (uint32_t i = 0; i < MATCHES; i++) {
        char path[128];
        uint32_t number = (uint32_t)((uint64_t)i * routes / MATCHES);
        int bytes = snprintf(path, sizeof path, shape->path, number);
        route_match(program, "example.org", 11, 0, path, (uint32_t)bytes, 0, &match);
        if (match.route != (strcmp(shape->name, "absent") == 0 ? ROUTE_NONE : (int32_t)number))
            abort();
    }
    route_program_free(program);
    return 0;
}

static double cell_measure(const char *self, const struct shape *shape, uint32_t routes)
{
    char command[1024], line[256];
    double instructions = -1;
    snprintf(command, sizeof command,
             "valgrind --tool=callgrind --callgrind-out-file=/dev/null --toggle-collect=route_match '%s' '%s' %u 2>&1", self,
             shape->name, routes);
    FILE *output = popen(command, "r");
    while (output && fgets(line, sizeof line, output)) {
        const char *collected = strstr(line, "Collected :");
        if (collected)
            instructions = strtod(collected + 11, NULL) / MATCHES;
    }
    if (output && pclose(output) != 0)
        instructions = -1;
    return instructions;
}

static double now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static void compiling_print(const struct shape *shape, uint32_t routes)
{
    double from = now_ms();
    struct route_program *program = program_make(shape, routes);
    double took = now_ms() - from;
    printf("%-12s %u routes: added and compiled in %.1f ms, %.0f bytes per route\n", shape->name, routes, took,
           (double)route_program_bytes(program) / routes);
    route_program_free(program);
}

int main(int count, char **arguments)
{
    const uint32_t shape_count = sizeof shapes / sizeof shapes[0], size_count = sizeof sizes / sizeof sizes[0];
    for (uint32_t i = 0; count == 3 && i < shape_count; i++)
        if (strcmp(arguments[1], shapes[i].name) == 0)
            return cell_run(&shapes[i], (uint32_t)strtoul(arguments[2], NULL, 10));
    if (count != 1)
        return 2;
    printf("%-12s", "routes");
    for (uint32_t i = 0; i < size_count; i++)
        printf(" %8u", sizes[i]);
    for (uint32_t i = 0; i < shape_count; i++) {
        printf("\n%-12s", shapes[i].name);
        for (uint32_t j = 0; j < size_count; j++) {
            printf(" %8.1f", cell_measure(arguments[0], &shapes[i], sizes[j]));
            fflush(stdout);
        }
    }
    printf("\n");
    for (uint32_t i = 0; i < shape_count; i++)
        compiling_print(&shapes[i], 10000);
    return 0;
}
