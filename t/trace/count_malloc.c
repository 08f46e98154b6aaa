/* Counts the calls of the C allocator in a process that it is loaded into first; glibc's own functions do the work. */
#include <stddef.h>

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);

static unsigned long calls;

unsigned long spec_allocations(void)
{
    return calls;
}

void *malloc(size_t bytes)
{
    calls++;
    return __libc_malloc(bytes);
}

void *calloc(size_t count, size_t bytes)
{
    calls++;
    return __libc_calloc(count, bytes);
}

void *realloc(void *at, size_t bytes)
{
    calls++;
    return __libc_realloc(at, bytes);
}
