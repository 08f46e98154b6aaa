/* The disposable child: forked, read from, waited for with a limit, killed when it does not end. */
#include "proc/candidate.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proc/clock.h"
#include "proc/descriptors.h"
#include "proc/limits.h"
#include "proc/signals.h"
#include "proc/text.h"

enum { PLAN_BYTES_MAX = 1 << 20, GO_ON = -1 };

struct candidate {
    const struct options *options;
    pid_t pid;
    int handle, out; /* pidfd; the plan's pipe, -1: none */
    int signals;
    int64_t until;
    char *plan;
    uint32_t bytes;
    bool interrupted, late;
};

/* What the messages are about: the file, or the command when there is none. */
static const char *subject(const struct options *options)
{
    return options->vm.file ? options->vm.file : options->vm.command;
}

static void __attribute__((noreturn)) child_main(const struct options *options, int out, pid_t master)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != master)
        _exit(EXIT_SYSTEM);
    signals_reset(SIGNALS_OF_CHILD);
    descriptors_close_others(&out, out >= 0);
    int code = out >= 0 ? vm_plan(&options->vm, out, -1) : vm_command(&options->vm);
    fflush(NULL);
    _exit(code);
}

static int spawn(struct candidate *candidate, bool with_plan)
{
    int ends[2] = { -1, -1 };
    if (with_plan && pipe2(ends, O_CLOEXEC) < 0)
        return -errno;
    fflush(NULL);
    pid_t master = getpid();
    candidate->pid = fork();
    if (candidate->pid == 0)
        child_main(candidate->options, ends[1], master);
    int failed = candidate->pid < 0 ? -errno : 0;
    if (with_plan)
        close(ends[1]);
    candidate->out = ends[0];
    if (with_plan)
        fcntl(candidate->out, F_SETFL, O_NONBLOCK);
    candidate->handle = failed ? -1 : (int)syscall(SYS_pidfd_open, candidate->pid, 0);
    return failed ? failed : candidate->handle < 0 ? -errno : 0;
}

/* Takes what the child has written; closes the pipe at its end. */
static void read_plan(struct candidate *candidate)
{
    for (;;) {
        if (candidate->bytes == PLAN_BYTES_MAX)
            break;
        ssize_t got = read(candidate->out, candidate->plan + candidate->bytes, PLAN_BYTES_MAX - candidate->bytes);
        if (got > 0) {
            candidate->bytes += (uint32_t)got;
            continue;
        }
        if (got < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        break;
    }
    close(candidate->out);
    candidate->out = -1;
}

static void hear_signals(struct candidate *candidate)
{
    for (int number; (number = signals_next(candidate->signals));)
        candidate->interrupted |= number == SIGTERM || number == SIGINT;
}

/* Reads and waits until the child has ended, a signal asks us to, or the limit has passed. */
static void await_end(struct candidate *candidate)
{
    for (;;) {
        struct pollfd polls[] = { { candidate->handle, POLLIN, 0 }, { candidate->signals, POLLIN, 0 }, { candidate->out, POLLIN, 0 } };
        int64_t left = candidate->until - clock_ms();
        if (left <= 0)
            candidate->late = true;
        if (candidate->late || candidate->interrupted)
            return;
        poll(polls, 3, (int)left);
        if (polls[1].revents)
            hear_signals(candidate);
        if (candidate->out >= 0 && polls[2].revents)
            read_plan(candidate);
        if (polls[0].revents) {
            if (candidate->out >= 0)
                read_plan(candidate);
            return;
        }
    }
}

/* Ends the child if it still runs, and reaps it. Its wait status, 0 when even SIGKILL did not reach it in time. */
static int reap(struct candidate *candidate)
{
    int status = 0;
    if (candidate->late || candidate->interrupted)
        kill(candidate->pid, SIGKILL);
    struct pollfd handle = { candidate->handle, POLLIN, 0 };
    poll(&handle, 1, (int)proc_limits.kill_ms);
    waitpid(candidate->pid, &status, WNOHANG);
    close(candidate->handle);
    return status;
}

/* GO_ON when the child ended well. */
static int judge(const struct candidate *candidate, int status)
{
    const char *what = subject(candidate->options);
    if (candidate->interrupted)
        return EXIT_OK;
    if (candidate->late) {
        fprintf(stderr, "moongate: %s did not finish loading within %s and was stopped: is there an endless loop or a wait at load time?\n",
                what, text_duration(proc_limits.load_ms));
        return EXIT_CONFIG;
    }
    if (WIFSIGNALED(status)) {
        fprintf(stderr, "moongate: %s: killed by %s while loading\n", what, signals_name(WTERMSIG(status)));
        return EXIT_CONFIG;
    }
    return WEXITSTATUS(status) ? WEXITSTATUS(status) : GO_ON;
}

static int run_child(struct candidate *candidate, bool with_plan)
{
    int failed = spawn(candidate, with_plan);
    if (failed) {
        if (candidate->out >= 0)
            close(candidate->out);
        if (candidate->pid > 0)
            kill(candidate->pid, SIGKILL);
        fprintf(stderr, "moongate: cannot start a process: %s\n", strerror(-failed));
        return EXIT_SYSTEM;
    }
    await_end(candidate);
    if (candidate->out >= 0)
        close(candidate->out);
    return judge(candidate, reap(candidate));
}

/* Makes a plan of what the child wrote. */
static int accept_plan(struct candidate *candidate, struct plan *ret_plan)
{
    char problem[PLAN_PROBLEM_BYTES];
    if (!plan_is_whole(candidate->plan, candidate->bytes)) {
        fprintf(stderr, "moongate: %s: it ended while loading, before it had said what to serve\n", subject(candidate->options));
        return EXIT_CONFIG;
    }
    candidate->plan[candidate->bytes] = 0;
    if (plan_parse(candidate->plan, ret_plan, problem))
        return GO_ON;
    fprintf(stderr, "moongate: %s: %s\n", subject(candidate->options), problem);
    return EXIT_CONFIG;
}

int candidate_plan(const struct options *options, int signals, struct plan *ret_plan)
{
    struct candidate candidate = { .options = options, .signals = signals, .until = clock_ms() + proc_limits.load_ms };
    candidate.plan = malloc(PLAN_BYTES_MAX + 1);
    if (!candidate.plan) {
        fprintf(stderr, "moongate: no memory\n");
        return EXIT_SYSTEM;
    }
    int code = run_child(&candidate, true);
    if (code == GO_ON)
        code = accept_plan(&candidate, ret_plan);
    free(candidate.plan);
    return code;
}

int candidate_command(const struct options *options, int signals)
{
    struct candidate candidate = { .options = options, .signals = signals, .until = clock_ms() + proc_limits.load_ms };
    int code = run_child(&candidate, false);
    if (candidate.interrupted)
        return EXIT_CONFIG; /* nothing was found to be in order */
    return code == GO_ON ? EXIT_OK : code;
}
