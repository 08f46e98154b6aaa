/* Signal masks, the signal descriptor, and the end of workers without a master. */
#include "proc/signals.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

static const int handled[] = { SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2, SIGCHLD };
enum { HANDLED_COUNT = sizeof handled / sizeof *handled };

static timer_t last_timer;
static struct itimerspec last_time;

int signals_open(void)
{
    sigset_t set;
    sigemptyset(&set);
    for (int i = 0; i < HANDLED_COUNT; i++) {
        signal(handled[i], SIG_DFL); /* an ignored signal, as a shell leaves SIGINT to its background, would never be read */
        sigaddset(&set, handled[i]);
    }
    signal(SIGPIPE, SIG_IGN);
    sigprocmask(SIG_BLOCK, &set, NULL);
    int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return fd < 0 ? -errno : fd;
}

int signals_next(int fd)
{
    struct signalfd_siginfo info;
    return read(fd, &info, sizeof info) == sizeof info ? (int)info.ssi_signo : 0;
}

void signals_reset(enum signals_of whose)
{
    sigset_t none;
    for (int i = 0; i < HANDLED_COUNT; i++)
        signal(handled[i], whose == SIGNALS_OF_WORKER && handled[i] != SIGCHLD ? SIG_IGN : SIG_DFL);
    signal(SIGPIPE, whose == SIGNALS_OF_WORKER ? SIG_IGN : SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

static void master_died(int number)
{
    (void)number;
    timer_settime(last_timer, 0, &last_time, NULL);
}

void signals_outlive_master(pid_t master, int64_t limit_ms)
{
    struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGKILL };
    struct sigaction action = { .sa_handler = master_died, .sa_flags = SA_RESTART };
    last_time.it_value.tv_sec = limit_ms / 1000;
    last_time.it_value.tv_nsec = limit_ms % 1000 * 1000000 + 1;
    int number = SIGRTMAX - 1;
    if (timer_create(CLOCK_MONOTONIC, &event, &last_timer) < 0 || sigaction(number, &action, NULL) < 0 ||
        prctl(PR_SET_PDEATHSIG, number) < 0)
        return; /* the closing control socket still ends it, unless it is stuck */
    if (getppid() != master)
        master_died(number); /* it died before we asked to be told */
}

const char *signals_name(int number)
{
    static char buffer[24];
    const char *name = sigabbrev_np(number);
    if (name)
        snprintf(buffer, sizeof buffer, "SIG%s", name);
    else
        snprintf(buffer, sizeof buffer, "signal %d", number);
    return buffer;
}
