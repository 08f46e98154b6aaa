/* A run of bytes that somebody else owns. A slice never owns: who lends it, and until when, is
 * written at the field or the function that hands it out. */
#pragma once
#ifndef MG_CDEF
#include <stdint.h>
#endif

struct slice {
    const char *at;
    uint32_t bytes;
};
