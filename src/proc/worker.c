/* A worker's process from fork to exit: it keeps its listening sockets, its end of the control socket, the logs and the shared
 * memory; everything else of the master is closed before any user code runs. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "proc/changes.h"
#include "proc/descriptors.h"
#include "proc/instance.h"
#include "proc/limits.h"
#include "proc/signals.h"
#include "proc/title.h"

static void close_others(const struct vm_worker_boot *boot)
{
    int keep[DESCRIPTORS_KEPT_MAX];
    uint32_t count = 0;
    for (uint32_t i = 0; i < boot->listener_count; i++)
        keep[count++] = boot->listeners[i];
    keep[count++] = boot->stores;
    keep[count++] = boot->control;
    keep[count++] = boot->sources;
    keep[count++] = boot->access_log;
    keep[count++] = boot->error_log;
    descriptors_close_others(keep, count);
    int nothing = open("/dev/null", O_RDONLY | O_CLOEXEC); /* a script that reads standard input must not wait for a terminal */
    if (nothing >= 0) {
        dup2(nothing, STDIN_FILENO);
        close(nothing);
    }
}

void worker_main(const struct master *master, const struct worker *worker, int control, pid_t parent)
{
    struct listen_socket sockets[LISTEN_OF_WORKER_MAX];
    int listeners[LISTEN_OF_WORKER_MAX];
    uint32_t numbers[LISTEN_OF_WORKER_MAX], closed[WATCHDOG_ROUTES_MAX];
    uint32_t count = listeners_of(&master->listeners, worker->number, master->slots, true, sockets);
    for (uint32_t i = 0; i < count; i++) {
        listeners[i] = sockets[i].fd;
        numbers[i] = sockets[i].number;
    }
    struct text changes = { 0 };
    changes_text(master, &changes);
    struct vm_worker_boot boot = {
        .changes = changes.at,
        .options = &master->options->vm,
        .number = worker->number,
        .first = worker->number == 0 && !master->once_done,
        .generation = worker->generation,
        .sources = master->sources,
        .listeners = listeners,
        .listener_numbers = numbers,
        .listener_count = count,
        .closed = closed,
        .closed_count = worker->generation == master->generation ? watchdog_list(master, closed) : 0,
        .control = control,
        .access_log = master->logs.access,
        .error_log = master->logs.error,
        .stats = worker->stats,
        .stores = master->stores.fd,
        .shared = master->shared,
        .entry = (uint32_t)(worker - master->workers),
        .all_stats = master->shm.at,
        .stats_each = master->shm.each,
        .stats_count = WORKERS_MAX,
    };
    close_others(&boot);
    signals_reset(SIGNALS_OF_WORKER);
    signals_outlive_master(parent, master->plan.drain_ms + proc_limits.grace_ms);
    title_set("moongate: worker %u %s", worker->number + 1, master->claim.name);
    int code = vm_worker(&boot);
    fflush(NULL);
    _exit(code);
}
