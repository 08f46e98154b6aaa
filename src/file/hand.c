/* A queue of tasks, at most HANDS_MAX threads that take from it, a list of what is done, and an eventfd(2) that says so. */
#include "file/hand.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/must.h"

enum { HANDS_MAX = 4, STACK_BYTES = 256 * 1024, PRIORITY = 5 };

struct tasks {
    struct file_task *first, *last;
};

struct file_hand {
    pthread_mutex_t lock;
    pthread_cond_t more;
    struct tasks waiting, done;
    pthread_t threads[HANDS_MAX];
    uint32_t thread_count, idle_count, waiting_count;
    uint32_t vain;
    uint32_t untaken; /* given and not taken back; the loop's own */
    int fd;
};

static void put(struct tasks *tasks, struct file_task *task)
{
    task->next = NULL;
    *(tasks->last ? &tasks->last->next : &tasks->first) = task;
    tasks->last = task;
}

static struct file_task *take(struct tasks *tasks)
{
    struct file_task *task = tasks->first;
    if (!task)
        return NULL;
    tasks->first = task->next;
    if (!tasks->first)
        tasks->last = NULL;
    return task;
}

int file_task_is_vain(const struct file_task *task)
{
    return __atomic_load_n(task->vain, __ATOMIC_RELAXED) != 0;
}

/* ---- on a thread ---- */

/* The next task; NULL: it is over. With the lock held. */
static struct file_task *wait_for_task(struct file_hand *hand)
{
    hand->idle_count++;
    while (!hand->waiting.first && !hand->vain)
        pthread_cond_wait(&hand->more, &hand->lock);
    hand->idle_count--;
    if (hand->vain)
        return NULL;
    hand->waiting_count--;
    return take(&hand->waiting);
}

static void *work(void *hand_)
{
    struct file_hand *hand = hand_;
    struct file_task *task;
    setpriority(PRIO_PROCESS, (id_t)gettid(), PRIORITY); /* in Linux the priority is the thread's; the loop comes first */
    pthread_mutex_lock(&hand->lock);
    while ((task = wait_for_task(hand))) {
        pthread_mutex_unlock(&hand->lock);
        task->run(task);
        pthread_mutex_lock(&hand->lock);
        put(&hand->done, task);
        eventfd_write(hand->fd, 1);
    }
    pthread_mutex_unlock(&hand->lock);
    return NULL;
}

/* Signals are the loop's: a thread blocks them all. */
static int thread_new(struct file_hand *hand)
{
    sigset_t all, before;
    pthread_attr_t how;
    sigfillset(&all);
    pthread_attr_init(&how);
    pthread_attr_setstacksize(&how, STACK_BYTES);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&hand->threads[hand->thread_count], &how, work, hand);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&how);
    if (!error)
        hand->thread_count++;
    return -error;
}

/* ---- on the loop ---- */

struct file_hand *file_hand_new(void)
{
    struct file_hand *hand = calloc(1, sizeof *hand);
    if (!hand)
        return NULL;
    hand->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (hand->fd < 0) {
        free(hand);
        return NULL;
    }
    pthread_mutex_init(&hand->lock, NULL);
    pthread_cond_init(&hand->more, NULL);
    return hand;
}

void file_hand_free(struct file_hand *hand)
{
    if (!hand)
        return;
    pthread_mutex_lock(&hand->lock);
    __atomic_store_n(&hand->vain, 1, __ATOMIC_RELAXED);
    pthread_cond_broadcast(&hand->more);
    pthread_mutex_unlock(&hand->lock);
    for (uint32_t i = 0; i < hand->thread_count; i++)
        pthread_join(hand->threads[i], NULL);
    pthread_cond_destroy(&hand->more);
    pthread_mutex_destroy(&hand->lock);
    close(hand->fd);
    free(hand);
}

int file_hand_fd(const struct file_hand *hand)
{
    return hand->fd;
}

int file_hand_give(struct file_hand *hand, struct file_task *task)
{
    pthread_mutex_lock(&hand->lock);
    if (hand->waiting_count >= hand->idle_count && hand->thread_count < HANDS_MAX)
        thread_new(hand);
    int error = hand->thread_count > 0 ? 0 : -EAGAIN;
    if (!error) {
        task->vain = &hand->vain;
        put(&hand->waiting, task);
        hand->waiting_count++;
        hand->untaken++;
        pthread_cond_signal(&hand->more);
    }
    pthread_mutex_unlock(&hand->lock);
    return error;
}

struct file_task *file_hand_take(struct file_hand *hand)
{
    eventfd_t count;
    if (hand->untaken == 0)
        return NULL;
    eventfd_read(hand->fd, &count);
    pthread_mutex_lock(&hand->lock);
    struct file_task *task = take(&hand->done);
    pthread_mutex_unlock(&hand->lock);
    hand->untaken -= task != NULL;
    return task;
}
