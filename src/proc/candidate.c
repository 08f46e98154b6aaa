/* The disposable child: forked, read from, waited for with a limit, killed when it does not end. */
#include "proc/candidate.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/must.h"
#include "proc/clock.h"
#include "proc/descriptors.h"
#include "proc/limits.h"
#include "proc/signals.h"

enum { PLAN_BYTES_MAX = 16 << 20, PLAN_BYTES_LEAST = 1 << 16, GO_ON = -1 };

/* What the messages are about: the file, or the command when there is none. */
static const char *subject(const struct options *options)
{
    return options->vm.file ? options->vm.file : options->vm.command;
}

static void drop(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

/* The child's ends: -1 where it has none. */
struct ends {
    int out, err, sources;
};

static void __attribute__((noreturn)) child_main(const struct options *options, const struct ends *ends, pid_t master)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != master)
        _exit(EXIT_SYSTEM);
    signals_reset(SIGNALS_OF_CHILD);
    if (ends->err >= 0)
        (void)!nice(5); /* it works as well without */
    if (ends->err >= 0)
        dup2(ends->err, STDERR_FILENO);
    int keep[] = { ends->out, ends->sources };
    descriptors_close_others(keep, 2);
    int code = ends->out >= 0 ? vm_plan(&options->vm, ends->out, ends->sources) : vm_command(&options->vm);
    fflush(NULL);
    _exit(code);
}

void candidate_init(struct candidate *candidate)
{
    *candidate = (struct candidate){ .handle = -1, .out = -1, .err = -1, .sources = -1 };
}

/* Opens a pipe of which we keep the end to read from, without waiting. */
static int open_pipe(int *ret_ours, int *ret_its)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0)
        return -errno;
    fcntl(ends[0], F_SETFL, O_NONBLOCK);
    *ret_ours = ends[0];
    *ret_its = ends[1];
    return 0;
}

static int fork_child(struct candidate *candidate, const struct ends *ends)
{
    fflush(NULL);
    pid_t master = getpid();
    candidate->pid = fork();
    if (candidate->pid == 0)
        child_main(candidate->options, ends, master);
    if (candidate->pid < 0)
        return -errno;
    candidate->handle = (int)syscall(SYS_pidfd_open, candidate->pid, 0);
    if (candidate->handle >= 0)
        return 0;
    int failed = -errno;
    kill(candidate->pid, SIGKILL);
    waitpid(candidate->pid, &candidate->status, 0);
    return failed;
}

/* What the child is for: its standard error is ours, or ours to read. */
enum purpose { FOR_COMMAND, FOR_START, FOR_RELOAD };

static int begin(struct candidate *candidate, const struct options *options, enum purpose purpose, int64_t now_ms)
{
    struct ends ends = { -1, -1, -1 };
    candidate->options = options;
    candidate->due_ms = now_ms + proc_limits.load_ms;
    int failed = purpose != FOR_COMMAND ? open_pipe(&candidate->out, &ends.out) : 0;
    if (!failed && purpose == FOR_RELOAD)
        failed = open_pipe(&candidate->err, &ends.err);
    if (!failed && purpose != FOR_COMMAND) {
        ends.sources = candidate->sources = memfd_create("moongate-sources", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        failed = ends.sources < 0 ? -errno : 0;
    }
    if (!failed)
        failed = fork_child(candidate, &ends);
    drop(&ends.out);
    drop(&ends.err);
    if (failed) {
        candidate_fini(candidate);
        return failed;
    }
    candidate->state = CANDIDATE_LOADING;
    return 0;
}

int candidate_start(struct candidate *candidate, const struct options *options, int64_t now_ms)
{
    must(candidate->state == CANDIDATE_NONE);
    return begin(candidate, options, FOR_RELOAD, now_ms);
}

/* Room for more of the plan, and a byte for its end. */
static bool plan_reserve(struct candidate *candidate)
{
    if (candidate->plan_bytes + 1 < candidate->plan_capacity)
        return true;
    uint32_t capacity = candidate->plan_capacity ? 2 * candidate->plan_capacity : PLAN_BYTES_LEAST;
    char *plan = capacity <= PLAN_BYTES_MAX ? realloc(candidate->plan, capacity) : NULL;
    if (!plan)
        return false;
    candidate->plan = plan;
    candidate->plan_capacity = capacity;
    return true;
}

/* Takes what the child has written; closes the pipe at its end, or when the plan becomes too long. */
static void read_plan(struct candidate *candidate)
{
    while (candidate->out >= 0) {
        ssize_t got = 0;
        if (plan_reserve(candidate))
            got = read(candidate->out, candidate->plan + candidate->plan_bytes, candidate->plan_capacity - candidate->plan_bytes - 1);
        if (got < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (got > 0)
            candidate->plan_bytes += (uint32_t)got;
        else
            drop(&candidate->out);
    }
}

/* Takes what it said; beyond the bound of a text it is read, so that the child is not held up, and forgotten. */
static void read_said(struct candidate *candidate)
{
    char bytes[4096];
    while (candidate->err >= 0) {
        ssize_t got = read(candidate->err, bytes, sizeof bytes);
        if (got < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (got > 0)
            text_add(&candidate->said, bytes, (uint32_t)got);
        else
            drop(&candidate->err);
    }
}

static void candidate_kill(struct candidate *candidate, int64_t now_ms)
{
    kill(candidate->pid, SIGKILL);
    candidate->due_ms = now_ms + proc_limits.kill_ms;
    candidate->state = CANDIDATE_KILLED;
}

/* The child is gone, or not even SIGKILL ends it; a process that it left behind may hold the pipes: nobody waits for that. */
static void candidate_ended(struct candidate *candidate)
{
    read_plan(candidate);
    read_said(candidate);
    waitpid(candidate->pid, &candidate->status, WNOHANG);
    drop(&candidate->out);
    drop(&candidate->err);
    drop(&candidate->handle);
    candidate->state = CANDIDATE_ENDED;
}

void candidate_polls(const struct candidate *candidate, struct pollfd *ret_polls)
{
    ret_polls[0] = (struct pollfd){ candidate->handle, POLLIN, 0 };
    ret_polls[1] = (struct pollfd){ candidate->out, POLLIN, 0 };
    ret_polls[2] = (struct pollfd){ candidate->err, POLLIN, 0 };
}

void candidate_turn(struct candidate *candidate, const struct pollfd *polls, int64_t now_ms)
{
    if (candidate->state != CANDIDATE_LOADING && candidate->state != CANDIDATE_KILLED)
        return;
    if (polls[1].revents)
        read_plan(candidate);
    if (polls[2].revents)
        read_said(candidate);
    if (polls[0].revents) {
        candidate_ended(candidate);
    } else if (candidate->due_ms <= now_ms && candidate->state == CANDIDATE_LOADING) {
        candidate->late = true;
        candidate_kill(candidate, now_ms);
    } else if (candidate->due_ms <= now_ms) {
        candidate_ended(candidate);
    }
}

int64_t candidate_due(const struct candidate *candidate)
{
    return candidate->state == CANDIDATE_LOADING || candidate->state == CANDIDATE_KILLED ? candidate->due_ms : INT64_MAX;
}

/* GO_ON when the child ended well. */
static int judge(struct candidate *candidate)
{
    const char *what = subject(candidate->options);
    if (candidate->late) {
        text_put(&candidate->said,
                 "moongate: %s did not finish loading within %s and was stopped: is there an endless loop or a wait at load time?\n", what,
                 text_duration(proc_limits.load_ms));
        return EXIT_CONFIG;
    }
    if (WIFSIGNALED(candidate->status)) {
        text_put(&candidate->said, "moongate: %s: killed by %s while loading\n", what, signals_name(WTERMSIG(candidate->status)));
        return EXIT_CONFIG;
    }
    return WEXITSTATUS(candidate->status) ? WEXITSTATUS(candidate->status) : GO_ON;
}

/* Makes a plan of what the child wrote. */
static int accept_plan(struct candidate *candidate, struct plan *ret_plan)
{
    char problem[PLAN_PROBLEM_BYTES];
    char *text = candidate->plan;
    if (!plan_is_whole(text, candidate->plan_bytes)) {
        text_put(&candidate->said, "moongate: %s: it ended while loading, before it had said what to serve\n", subject(candidate->options));
        return EXIT_CONFIG;
    }
    text[candidate->plan_bytes] = 0;
    candidate->plan = NULL;
    if (plan_parse(text, ret_plan, problem))
        return GO_ON;
    text_put(&candidate->said, "moongate: %s: %s\n", subject(candidate->options), problem);
    return EXIT_CONFIG;
}

int candidate_take(struct candidate *candidate, struct plan *ret_plan, int *ret_sources)
{
    must(candidate->state == CANDIDATE_ENDED);
    *ret_plan = (struct plan){ 0 };
    int code = judge(candidate);
    if (code == GO_ON)
        code = accept_plan(candidate, ret_plan);
    if (code == GO_ON) {
        fcntl(candidate->sources, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL);
        *ret_sources = candidate->sources;
        candidate->sources = -1;
    } else if (candidate->plan) {
        candidate->plan[candidate->plan_bytes] = 0;
        plan_parse_files(candidate->plan, ret_plan);
        candidate->plan = NULL;
    }
    return code;
}

void candidate_fini(struct candidate *candidate)
{
    if (candidate->handle >= 0) {
        kill(candidate->pid, SIGKILL);
        struct pollfd handle = { candidate->handle, POLLIN, 0 };
        poll(&handle, 1, (int)proc_limits.kill_ms);
        candidate_ended(candidate);
    }
    drop(&candidate->out);
    drop(&candidate->err);
    drop(&candidate->sources);
    free(candidate->plan);
    text_fini(&candidate->said);
    candidate_init(candidate);
}

/* Takes the signals; whether one asks to end. */
static bool interrupted(int signals)
{
    bool ends = false;
    for (int number; (number = signals_next(signals));)
        ends |= number == SIGTERM || number == SIGINT;
    return ends;
}

/* Waits until the child has ended. False: a signal asked us to end; the child is killed then. */
static bool await_end(struct candidate *candidate, int signals)
{
    while (candidate->state != CANDIDATE_ENDED) {
        struct pollfd polls[1 + CANDIDATE_POLLS] = { { signals, POLLIN, 0 } };
        candidate_polls(candidate, polls + 1);
        int64_t left = candidate_due(candidate) - clock_ms();
        poll(polls, 1 + CANDIDATE_POLLS, left > 0 ? (int)left : 0);
        if (polls[0].revents && interrupted(signals))
            return false;
        candidate_turn(candidate, polls + 1, clock_ms());
    }
    return true;
}

static int cannot_start(int failed)
{
    fprintf(stderr, "moongate: cannot start a process: %s\n", strerror(-failed));
    return EXIT_SYSTEM;
}

static void say(const struct candidate *candidate)
{
    if (candidate->said.bytes)
        fwrite(candidate->said.at, 1, candidate->said.bytes, stderr);
}

int candidate_plan(const struct options *options, int signals, struct plan *ret_plan, int *ret_sources)
{
    struct candidate candidate;
    candidate_init(&candidate);
    int failed = begin(&candidate, options, FOR_START, clock_ms());
    if (failed)
        return cannot_start(failed);
    int code = EXIT_OK;
    if (await_end(&candidate, signals)) {
        code = candidate_take(&candidate, ret_plan, ret_sources);
        say(&candidate);
    }
    candidate_fini(&candidate);
    return code;
}

int candidate_command(const struct options *options, int signals)
{
    struct candidate candidate;
    candidate_init(&candidate);
    int failed = begin(&candidate, options, FOR_COMMAND, clock_ms());
    if (failed)
        return cannot_start(failed);
    int code = EXIT_CONFIG; /* interrupted: nothing was found to be in order */
    if (await_end(&candidate, signals)) {
        code = judge(&candidate);
        say(&candidate);
    }
    candidate_fini(&candidate);
    return code == GO_ON ? EXIT_OK : code;
}
