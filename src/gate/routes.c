/* Compiling and letting go; the counting is the requests' (request.c). */
#include "gate/routes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct routes *routes_new(const struct route_builder *builder, const double *body_bytes, uint32_t count, uint32_t number)
{
    struct routes *routes = calloc(1, sizeof *routes);
    if (!routes)
        return NULL;
    routes->program = route_compile(builder);
    routes->body_bytes = malloc((count + 1) * sizeof *routes->body_bytes);
    routes->names = calloc(count + 1, sizeof *routes->names);
    if (!routes->program || !routes->body_bytes || !routes->names) {
        routes_free(routes);
        return NULL;
    }
    memcpy(routes->body_bytes, body_bytes, count * sizeof *body_bytes);
    routes->count = count;
    routes->number = number;
    return routes;
}

void routes_free(struct routes *routes)
{
    if (!routes)
        return;
    route_program_free(routes->program);
    free(routes->body_bytes);
    for (uint32_t i = 0; routes->names && i < routes->count; i++)
        free(routes->names[i]);
    free(routes->names);
    free(routes->times);
    free(routes->closed);
    free(routes);
}

void routes_name(struct routes *routes, uint32_t route, struct slice text)
{
    if (route < routes->count && !routes->names[route])
        routes->names[route] = strndup(text.at, text.bytes);
}

int routes_time(struct routes *routes, uint32_t route, struct route_time time)
{
    if (route >= routes->count)
        return 0;
    if (!routes->times && !(routes->times = calloc(routes->count, sizeof *routes->times)))
        return -ENOMEM;
    routes->times[route] = time;
    if (time.handler_ms && (!routes->least_ms || time.handler_ms < routes->least_ms))
        routes->least_ms = time.handler_ms;
    if (time.request_ms && (!routes->least_request_ms || time.request_ms < routes->least_request_ms))
        routes->least_request_ms = time.request_ms;
    return 0;
}

const char routes_closed_text[] = "this resource is closed: it has ended workers again and again";

bool routes_is_closed(const struct routes *routes, int32_t route)
{
    return routes->closed && (uint32_t)route < routes->count && routes->closed[route];
}

int routes_close(struct routes *routes, uint32_t route)
{
    if (route >= routes->count)
        return 0;
    if (!routes->closed && !(routes->closed = calloc(routes->count, sizeof *routes->closed)))
        return -ENOMEM;
    routes->closed[route] = 1;
    return 0;
}
