/* Files of the engine on epoll: what is in the kernel's cache is done at once, the rest by threads. */
#include <errno.h>
#include <sys/eventfd.h>

#include "net/epoll.h"

static struct threads *threads_of(struct net *net)
{
    struct epoll *epoll = epoll_of(net);
    if (epoll->threads)
        return epoll->threads;
    struct threads *threads = threads_new();
    if (!threads)
        return NULL;
    struct epoll_event event = { .events = EPOLLIN, .data.u64 = op_tag(OP_FILE, 0, 0) };
    if (epoll_ctl(epoll->fd, EPOLL_CTL_ADD, threads_fd(threads), &event) < 0) {
        threads_free(threads);
        return NULL;
    }
    return epoll->threads = threads;
}

/* The part that needs no wait: bytes, a descriptor or the error with which it ended, true; or false and the bytes so far. */
static bool do_at_once(const struct file_request *request, int32_t *ret_result)
{
    uint32_t moved = 0;
    for (;;) {
        int32_t result = file_attempt(request, moved, true);
        *ret_result = (int32_t)moved;
        if (result == -EAGAIN || result == -EOPNOTSUPP)
            return false;
        if (request->kind == FILE_OPEN || (result < 0 && moved == 0)) {
            *ret_result = result;
            return true;
        }
        if (result <= 0)
            return true;
        moved += (uint32_t)result;
        *ret_result = (int32_t)moved;
        if (moved == request->bytes)
            return true;
    }
}

void epoll_file(struct net *net, const struct file_request *request)
{
    int32_t result = 0;
    bool done = do_at_once(request, &result);
    if (!done) {
        struct threads *threads = threads_of(net);
        int error = threads ? threads_give(threads, request, (uint32_t)result) : -EAGAIN;
        if (!error)
            return;
        result = result > 0 ? result : error;
    }
    file_done(net, request->slot, request->generation, result);
}

void epoll_files_done(struct net *net)
{
    struct threads *threads = epoll_of(net)->threads;
    uint32_t slot, generation;
    int32_t result;
    eventfd_t count;
    eventfd_read(threads_fd(threads), &count);
    while (threads_take(threads, &slot, &generation, &result))
        file_done(net, slot, generation, result);
}
