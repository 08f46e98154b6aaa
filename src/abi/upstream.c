/* The border's calls about upstreams: as abi.c, checks and forwards. */
#include <errno.h>

#include "abi/moongate.h"
#include "gate/gate.h"
#include "proxy/pool.h"

#define EXPORT __attribute__((visibility("default")))

EXPORT int32_t mg_upstream_open(struct mg_worker *w, const char *name, uint32_t name_bytes, const char *servers, uint32_t bytes)
{
    return side_upstream_open(w, (struct slice){ name, name_bytes }, (struct slice){ servers, bytes });
}

EXPORT void mg_upstream_close(struct mg_worker *w, int32_t upstream)
{
    side_upstream_close(w, upstream);
}

EXPORT int32_t mg_upstream_server(struct mg_worker *w, int32_t upstream, uint32_t at, uint32_t slot)
{
    struct slice label = { "", 0 };
    int index = side_upstream_server(w, upstream, at, request_at(w, slot), &label, &w->border.result);
    w->border.text = label.at;
    w->border.text_bytes = label.bytes;
    return index;
}

EXPORT int32_t mg_upstream_change(struct mg_worker *w, const char *line, uint32_t bytes, int32_t blindly)
{
    return side_upstream_change(w, (struct slice){ line, bytes }, blindly);
}

EXPORT int32_t mg_upstream_facts(struct mg_worker *w, int32_t upstream, struct proxy_upstream_facts *ret)
{
    return w->side ? proxy_upstream_facts(side_proxy(w), upstream, ret) : -ENOENT;
}

EXPORT int32_t mg_server_facts(struct mg_worker *w, int32_t upstream, uint32_t at, struct proxy_server_facts *ret)
{
    return w->side ? proxy_server_facts(side_proxy(w), upstream, at, ret) : -ENOENT;
}

EXPORT int32_t mg_upstream_line(struct mg_worker *w, int32_t upstream, uint32_t line, struct slice *ret_text, struct slice *ret_why)
{
    return w->side ? proxy_upstream_line(side_proxy(w), upstream, line, ret_text, ret_why) : -ENOENT;
}
