/* The Lua modules and the text of the border, inside the program. Made by embed.c at build time. */
#pragma once
#include <stddef.h>

struct embedded {
    const char *name; /* "moongate.app"; "moongate.cdef" is the text of the border. NULL ends the list */
    const char *text;
    size_t bytes;
};

extern const struct embedded embedded_files[];
