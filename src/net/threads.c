/* Requests wait in one list, those that are done in another, both under one lock; a descriptor tells of the latter. A request keeps its own
 * copy of a path; buffers are lent by who asked. Disks are waited for in the call; pipes and terminals in poll(2), which can be ended. */
#include "net/threads.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { THREADS_MAX = 4, STACK_BYTES = 256 << 10 };

/* Linux 5.12; older headers have no name for it. */
#ifndef RESOLVE_CACHED
#define RESOLVE_CACHED 0x20
#endif

struct job {
    struct job *next;
    struct file_request request;
    uint32_t moved;
    int32_t result;
    char path[];
};

struct list {
    struct job *first, *last;
};

struct threads {
    pthread_mutex_t lock;
    pthread_cond_t work;
    struct list waiting, done;
    uint32_t count, idle, queued;
    bool ending;
    int done_fd, end_fd;
    pthread_t threads[THREADS_MAX];
};

/* ---- one request ---- */

static int32_t open_attempt(const struct file_request *request, bool at_once)
{
    struct open_how how = { .flags = request->flags, .resolve = request->resolve | (at_once ? RESOLVE_CACHED : 0) };
    long fd = syscall(SYS_openat2, request->fd, request->path, &how, sizeof how);
    if (fd < 0 && at_once && errno == EINVAL) /* a kernel that does not know the flag, or a request that is wrong: asked again without it */
        return -EAGAIN;
    return fd < 0 ? -errno : (int32_t)fd;
}

int32_t file_attempt(const struct file_request *request, uint32_t moved, bool at_once)
{
    if (request->kind == FILE_OPEN)
        return open_attempt(request, at_once);
    struct iovec piece = { request->buffer + moved, request->bytes - moved };
    off_t offset = request->offset == UINT64_MAX ? -1 : (off_t)(request->offset + moved);
    int flags = at_once ? RWF_NOWAIT : 0;
    for (;;) {
        ssize_t bytes = request->kind == FILE_READ ? preadv2(request->fd, &piece, 1, offset, flags) : pwritev2(request->fd, &piece, 1, offset, flags);
        if (bytes >= 0)
            return (int32_t)bytes;
        if (errno == ESPIPE && offset != -1)
            offset = -1;
        else if (errno != EINTR)
            return -errno;
    }
}

static bool is_on_disk(int fd)
{
    struct stat status;
    return fstat(fd, &status) == 0 && (S_ISREG(status.st_mode) || S_ISBLK(status.st_mode) || S_ISDIR(status.st_mode));
}

/* A pipe, a socket or a terminal: done when it can be, unless all is to end. */
static int32_t wait_and_attempt(const struct threads *threads, const struct file_request *request)
{
    struct pollfd both[] = { { .fd = request->fd, .events = request->kind == FILE_READ ? POLLIN : POLLOUT }, { .fd = threads->end_fd, .events = POLLIN } };
    for (;;) {
        if (poll(both, 2, -1) < 0 && errno != EINTR)
            return -errno;
        if (both[1].revents)
            return -ECANCELED;
        int32_t result = file_attempt(request, 0, true);
        if (result == -EOPNOTSUPP)
            return file_attempt(request, 0, false);
        if (result != -EAGAIN)
            return result;
    }
}

static int32_t run(const struct threads *threads, struct job *job)
{
    const struct file_request *request = &job->request;
    if (request->kind == FILE_OPEN)
        return file_attempt(request, 0, false);
    if (!is_on_disk(request->fd))
        return job->moved > 0 ? (int32_t)job->moved : wait_and_attempt(threads, request);
    while (job->moved < request->bytes) {
        int32_t result = file_attempt(request, job->moved, false);
        if (result <= 0)
            return job->moved > 0 ? (int32_t)job->moved : result;
        job->moved += (uint32_t)result;
    }
    return (int32_t)job->moved;
}

/* ---- the threads ---- */

static void append(struct list *list, struct job *job)
{
    job->next = NULL;
    if (list->last)
        list->last->next = job;
    else
        list->first = job;
    list->last = job;
}

static struct job *take_first(struct list *list)
{
    struct job *job = list->first;
    if (job) {
        list->first = job->next;
        if (!list->first)
            list->last = NULL;
    }
    return job;
}

static void *work(void *memory)
{
    struct threads *threads = memory;
    pthread_mutex_lock(&threads->lock);
    while (!threads->ending) {
        struct job *job = take_first(&threads->waiting);
        if (!job) {
            threads->idle++;
            pthread_cond_wait(&threads->work, &threads->lock);
            threads->idle--;
            continue;
        }
        threads->queued--;
        pthread_mutex_unlock(&threads->lock);
        job->result = run(threads, job);
        pthread_mutex_lock(&threads->lock);
        bool first = !threads->done.first;
        append(&threads->done, job);
        if (first)
            eventfd_write(threads->done_fd, 1);
    }
    pthread_mutex_unlock(&threads->lock);
    return NULL;
}

/* One more, that hears no signal: they are for the thread that runs scripts. */
static void start_one(struct threads *threads)
{
    sigset_t all, before;
    pthread_attr_t attributes;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    if (pthread_create(&threads->threads[threads->count], &attributes, work, threads) == 0)
        threads->count++;
    pthread_attr_destroy(&attributes);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

/* ---- the owner's side ---- */

struct threads *threads_new(void)
{
    struct threads *threads = calloc(1, sizeof *threads);
    if (!threads)
        return NULL;
    pthread_mutex_init(&threads->lock, NULL);
    pthread_cond_init(&threads->work, NULL);
    threads->done_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    threads->end_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (threads->done_fd >= 0 && threads->end_fd >= 0)
        return threads;
    threads_free(threads);
    return NULL;
}

static void list_free(struct list *list, bool is_done)
{
    struct job *job;
    while ((job = take_first(list))) {
        if (is_done && job->request.kind == FILE_OPEN && job->result >= 0)
            close(job->result);
        free(job);
    }
}

void threads_free(struct threads *threads)
{
    if (!threads)
        return;
    pthread_mutex_lock(&threads->lock);
    threads->ending = true;
    pthread_cond_broadcast(&threads->work);
    pthread_mutex_unlock(&threads->lock);
    if (threads->end_fd >= 0)
        eventfd_write(threads->end_fd, 1);
    for (uint32_t i = 0; i < threads->count; i++)
        pthread_join(threads->threads[i], NULL);
    list_free(&threads->waiting, false);
    list_free(&threads->done, true);
    if (threads->done_fd >= 0)
        close(threads->done_fd);
    if (threads->end_fd >= 0)
        close(threads->end_fd);
    pthread_cond_destroy(&threads->work);
    pthread_mutex_destroy(&threads->lock);
    free(threads);
}

int threads_fd(const struct threads *threads)
{
    return threads->done_fd;
}

int threads_give(struct threads *threads, const struct file_request *request, uint32_t moved)
{
    size_t path_bytes = request->kind == FILE_OPEN ? strlen(request->path) + 1 : 0;
    struct job *job = malloc(sizeof *job + path_bytes);
    if (!job)
        return -EAGAIN;
    job->request = *request;
    job->moved = moved;
    if (path_bytes)
        job->request.path = memcpy(job->path, request->path, path_bytes);
    pthread_mutex_lock(&threads->lock);
    bool wanted = threads->queued >= threads->idle && threads->count < THREADS_MAX;
    pthread_mutex_unlock(&threads->lock);
    if (wanted)
        start_one(threads);
    if (threads->count == 0) {
        free(job);
        return -EAGAIN;
    }
    pthread_mutex_lock(&threads->lock);
    append(&threads->waiting, job);
    threads->queued++;
    pthread_cond_signal(&threads->work);
    pthread_mutex_unlock(&threads->lock);
    return 0;
}

int threads_take(struct threads *threads, uint32_t *ret_slot, uint32_t *ret_generation, int32_t *ret_result)
{
    pthread_mutex_lock(&threads->lock);
    struct job *job = take_first(&threads->done);
    pthread_mutex_unlock(&threads->lock);
    if (!job)
        return 0;
    *ret_slot = job->request.slot;
    *ret_generation = job->request.generation;
    *ret_result = job->result;
    free(job);
    return 1;
}
