/* A few threads that do what may wait for a disk, for the engine on epoll: requests go in, and come out done. They begin with the first request
 * that needs them. All functions are for the one thread that owns it. */
#pragma once
#include "net/engine.h"

struct threads;

/* NULL: no memory or descriptors. */
struct threads *threads_new(void);
/* Ends the threads: who waits for a pipe at once, who waits for a disk after it. What was not taken is given up. NULL is accepted. */
void threads_free(struct threads *threads);
/* Readable when something is done. */
int threads_fd(const struct threads *threads);
/* `moved` bytes of it are done already. 0, or -EAGAIN: there is no thread, and none can be started. */
int threads_give(struct threads *threads, const struct file_request *request, uint32_t moved);
/* One that is done: its slot, generation and result. 0 when there is none. */
int threads_take(struct threads *threads, uint32_t *ret_slot, uint32_t *ret_generation, int32_t *ret_result);

/* One attempt at what is left after `moved` bytes: bytes, a descriptor, or -errno. `at_once`: -EAGAIN or -EOPNOTSUPP where it would have to wait. */
int32_t file_attempt(const struct file_request *request, uint32_t moved, bool at_once);
