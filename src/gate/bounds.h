/* What of a worker grows with its work, and how far it may: the rows of bounds.tbl.h. */
#pragma once
#ifndef MG_CDEF
#include <stdint.h>
#endif

struct mg_worker;

struct mg_bound {
    const char *name, *beyond; /* and what happens to the next one */
    double now, most;
};

/* The `index`-th, as it is now; false past the end. */
int bounds_row(const struct mg_worker *w, uint32_t index, struct mg_bound *ret_bound);
