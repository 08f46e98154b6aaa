/* Pages without access are not counted by the kernel, whatever its policy of overcommitting; making them usable is. */
#include "base/reserve.h"

#include <errno.h>
#include <sys/mman.h>

enum { FLAGS = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, PAGE = 4096 };

static size_t whole_pages(size_t bytes)
{
    return (bytes + PAGE - 1) & ~(size_t)(PAGE - 1);
}

int reserve_init(struct reserve *ret_reserve, size_t usable, size_t most)
{
    usable = whole_pages(usable);
    most = whole_pages(most) > usable ? whole_pages(most) : usable;
    void *at = mmap(NULL, most, PROT_NONE, FLAGS, -1, 0);
    if (at == MAP_FAILED && most > usable) {
        most = usable;
        at = mmap(NULL, most, PROT_NONE, FLAGS, -1, 0);
    }
    if (at == MAP_FAILED)
        return -ENOMEM;
    *ret_reserve = (struct reserve){ .at = at, .most = most };
    int error = reserve_grow(ret_reserve, usable);
    if (error)
        reserve_fini(ret_reserve);
    return error;
}

int reserve_grow(struct reserve *reserve, size_t usable)
{
    usable = whole_pages(usable);
    if (usable <= reserve->usable)
        return 0;
    if (usable > reserve->most || mprotect(reserve->at, usable, PROT_READ | PROT_WRITE) < 0)
        return -ENOMEM;
    reserve->usable = usable;
    return 0;
}

void reserve_fini(struct reserve *reserve)
{
    if (reserve->at)
        munmap(reserve->at, reserve->most);
    *reserve = (struct reserve){ 0 };
}
