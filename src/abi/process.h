/* The part of the border that is about processes and generations: what a worker and its master say, route programs that live as long
 * as their requests, descriptors that were handed over. Part of moongate.h: the same rules hold. */
#pragma once
#include "gate/border.h"

struct mg_worker;

/* All of it, or -errno. May block. */
int32_t mg_fd_write(int32_t fd, const char *bytes, uint32_t count);
/* Up to `count` bytes from `offset`: how many, 0 at the end, or -errno. */
int32_t mg_fd_read(int32_t fd, char *ret, uint32_t count, double offset);
/* Processors that this process may run on, at least 1. */
int32_t mg_processors(void);
