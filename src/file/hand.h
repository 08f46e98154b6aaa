/* Hands for work that may wait for a disk or takes its time, so that the loop does neither: threads of lower priority, made when there is
 * work. Comes in: a task. Goes out: the same task, done. What a task touches is its own until then. */
#pragma once
#include <stdint.h>

struct file_hand;

/* A part of what belongs to whoever gives it. */
struct file_task {
    struct file_task *next;
    void (*run)(struct file_task *task); /* on a thread */
    const uint32_t *vain;
};

/* NULL: no memory or descriptor. */
struct file_hand *file_hand_new(void);
/* Waits for the tasks under way; the others are never run. */
void file_hand_free(struct file_hand *hand);
/* Readable when a task is done. */
int file_hand_fd(const struct file_hand *hand);
/* 0; -EAGAIN: there is no thread, and none can be made. */
int file_hand_give(struct file_hand *hand, struct file_task *task);
/* The next that is done; NULL: none. */
struct file_task *file_hand_take(struct file_hand *hand);
/* For a task that takes long: does nobody want it any more? */
int file_task_is_vain(const struct file_task *task);
