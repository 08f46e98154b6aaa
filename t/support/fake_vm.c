/* A stand-in for Lua, for the specs of the processes: behind abi/vm.h, but told what to do by the "config", a text of lines. Lines
 * are plan lines (abi/vm.h), or "fake WHAT", which say how loading and workers misbehave:
 *
 *   fake plan-hang | plan-crash | plan-partial | plan-problem TEXT
 *   fake plan-exec PATH            leaves a process behind and writes its pid to the file
 *   fake fail CODE TEXT            each worker says CONTROL_FAILED and ends with CODE
 *   fake fail-slot N CODE TEXT     only worker N (from 0) does
 *   fake die-unready               ends before it says anything
 *   fake never-ready [N]           no worker, or not worker N, ever says that it is ready
 *   fake slow-drain                ends when the last connection that it holds is closed
 *   fake hang-on-drain             ends when told to stop now
 *   fake deaf                      does not hear its master at all once it serves
 *   fake crash-if PATH             crashes at once whenever the file is there
 *
 * A worker answers HTTP/1.0 requests: /pid, /number, /first, /descriptors, /options, /signals; it obeys /crash, /exit, /spin,
 * /hang-up (closes its control socket and spins) and /hold (keeps the connection). */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "abi/vm.h"
#include "gate/control.h"
#include "proc/limits.h"

enum { CONFIG_BYTES = 16384, FDS_MAX = 64 };

struct fake {
    const struct vm_worker_boot *boot;
    char config[CONFIG_BYTES];
    int held[FDS_MAX];
    int held_count;
    bool draining;
};

/* Limits in milliseconds may be set from outside, so that no spec has to wait for the real ones. */
__attribute__((constructor)) static void set_limits(void)
{
    const char *load = getenv("FAKE_LOAD_MS"), *start = getenv("FAKE_START_MS");
    if (load)
        proc_limits.load_ms = atol(load);
    if (start)
        proc_limits.start_ms = atol(start);
}

static void read_config(const char *path, char *text)
{
    *text = 0;
    FILE *file = path ? fopen(path, "re") : NULL;
    if (!file)
        return;
    size_t bytes = fread(text, 1, CONFIG_BYTES - 1, file);
    text[bytes] = 0;
    fclose(file);
}

/* The rest of the line "fake WHAT…", NULL when there is none. */
static const char *told(const char *config, const char *what)
{
    static char rest[512];
    char pattern[64];
    snprintf(pattern, sizeof pattern, "fake %s", what);
    size_t bytes = strlen(pattern);
    for (const char *line = config; line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
        if (strncmp(line, pattern, bytes) != 0 || (line[bytes] != ' ' && line[bytes] != '\n' && line[bytes] != 0))
            continue;
        snprintf(rest, sizeof rest, "%.*s", (int)strcspn(line + bytes, "\n"), line + bytes);
        return rest + (*rest == ' ');
    }
    return NULL;
}

static void misbehave_in_plan(const char *config, int out)
{
    if (told(config, "plan-hang"))
        for (;;)
            pause();
    if (told(config, "plan-crash"))
        abort();
    if (told(config, "plan-partial")) {
        dprintf(out, "listen 127.0.0.1:0\nname part");
        _exit(0);
    }
    const char *path = told(config, "plan-exec");
    char command[600];
    snprintf(command, sizeof command, "sleep 30 & echo $! > '%s'", path ? path : "");
    if (path && system(command) != 0)
        _exit(1);
}

int vm_plan(const struct vm_options *options, int out, int sources)
{
    (void)sources;
    char config[CONFIG_BYTES];
    read_config(options->file, config);
    misbehave_in_plan(config, out);
    if (told(config, "plan-problem")) {
        fprintf(stderr, "%s:1:1: %s\n", options->file, told(config, "plan-problem"));
        return 1;
    }
    for (int i = 0; i < options->listen_count; i++)
        dprintf(out, "listen %s\n", options->listen[i]);
    char *rest;
    for (char *line = strtok_r(config, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
        if (strncmp(line, "fake ", 5) != 0 && (strncmp(line, "listen ", 7) != 0 || !options->listen_count))
            dprintf(out, "%s\n", line);
    if (!options->file && !options->listen_count)
        dprintf(out, "listen 127.0.0.1:0\n");
    dprintf(out, "end\n");
    return 0;
}

static void say(int control, enum control_kind kind, const char *text)
{
    struct control_message message = { .kind = kind, .argument = 1 };
    message.text_bytes = (uint32_t)snprintf(message.text, sizeof message.text, "%s", text);
    send(control, &message, sizeof message, MSG_NOSIGNAL);
}

static void answer(int fd, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void answer(int fd, const char *format, ...)
{
    char body[8192];
    va_list arguments;
    va_start(arguments, format);
    int bytes = vsnprintf(body, sizeof body, format, arguments);
    va_end(arguments);
    dprintf(fd, "HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n%s", bytes, body);
}

static void answer_descriptors(int fd)
{
    char body[4096] = "", target[256];
    size_t at = 0;
    DIR *folder = opendir("/proc/self/fd");
    for (struct dirent *entry; folder && (entry = readdir(folder));) {
        ssize_t bytes = readlinkat(dirfd(folder), entry->d_name, target, sizeof target);
        if (bytes > 0 && atoi(entry->d_name) != dirfd(folder) && atoi(entry->d_name) != fd)
            at += (size_t)snprintf(body + at, sizeof body - at, "%s %.*s\n", entry->d_name, (int)bytes, target);
    }
    closedir(folder);
    answer(fd, "%s", body);
}

static void answer_options(int fd, const struct vm_options *options)
{
    char body[2048];
    size_t at = (size_t)snprintf(body, sizeof body, "command=%s file=%s workers=%s name=%s debug=%d", options->command,
                                 options->file ? options->file : "", options->workers ? options->workers : "",
                                 options->name ? options->name : "", options->debug);
    for (int i = 0; i < options->argument_count; i++)
        at += (size_t)snprintf(body + at, sizeof body - at, " argument=%s", options->arguments[i]);
    for (int i = 0; i < options->listen_count; i++)
        at += (size_t)snprintf(body + at, sizeof body - at, " listen=%s", options->listen[i]);
    answer(fd, "%s", body);
}

static void answer_signals(int fd)
{
    char line[256], body[2048] = "";
    FILE *file = fopen("/proc/self/status", "re");
    while (file && fgets(line, sizeof line, file))
        if (strncmp(line, "Sig", 3) == 0)
            strcat(body, line);
    if (file)
        fclose(file);
    answer(fd, "%s", body);
}

/* Marks the heartbeat as a gate does while a handler runs. */
static void enter_route(struct mg_stats *stats, const char *name)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    snprintf(stats->route_name, sizeof stats->route_name, "%s", name);
    stats->since_ms = now.tv_sec * (int64_t)1000 + now.tv_nsec / 1000000;
}

static void obey(struct fake *fake, const char *path)
{
    enter_route(fake->boot->stats, path);
    if (strcmp(path, "/crash") == 0)
        abort();
    if (strcmp(path, "/exit") == 0)
        _exit(3);
    if (strcmp(path, "/hang-up") == 0)
        close(fake->boot->control);
    if (strcmp(path, "/spin") == 0 || strcmp(path, "/hang-up") == 0)
        for (;;)
            continue;
    fake->boot->stats->since_ms = 0;
}

static void serve(struct fake *fake, int fd)
{
    char request[2048], path[64] = "";
    const struct vm_worker_boot *boot = fake->boot;
    ssize_t bytes = recv(fd, request, sizeof request - 1, 0);
    request[bytes > 0 ? bytes : 0] = 0;
    sscanf(request, "GET %63s", path);
    obey(fake, path);
    boot->stats->requests++;
    boot->stats->answered[2]++;
    if (strcmp(path, "/hold") == 0 && fake->held_count < FDS_MAX) {
        answer(fd, "held");
        fake->held[fake->held_count++] = fd;
        return;
    }
    if (strcmp(path, "/descriptors") == 0)
        answer_descriptors(fd);
    else if (strcmp(path, "/options") == 0)
        answer_options(fd, boot->options);
    else if (strcmp(path, "/signals") == 0)
        answer_signals(fd);
    else if (strcmp(path, "/first") == 0)
        answer(fd, "%u", boot->first);
    else if (strcmp(path, "/number") == 0)
        answer(fd, "%u", boot->number);
    else
        answer(fd, "%d", getpid());
    close(fd);
}

/* Takes the new descriptor of a log in the place of the old one and writes a line to it. */
static void reopen(const struct vm_worker_boot *boot, struct msghdr *header, const char *which)
{
    struct cmsghdr *part = CMSG_FIRSTHDR(header);
    int fd;
    if (!part || part->cmsg_type != SCM_RIGHTS)
        return;
    memcpy(&fd, CMSG_DATA(part), sizeof fd);
    dprintf(fd, "%s log taken by %d\n", which, getpid());
    dup3(fd, strcmp(which, "access") == 0 ? boot->access_log : boot->error_log, O_CLOEXEC);
    close(fd);
}

static int end(struct fake *fake)
{
    say(fake->boot->control, CONTROL_ENDED, "");
    return 0;
}

/* Hears the master; ≥ 0: the exit code. */
static int hear(struct fake *fake)
{
    struct control_message message;
    struct iovec piece = { &message, sizeof message };
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr aligned;
    } rights;
    struct msghdr header = { .msg_iov = &piece, .msg_iovlen = 1, .msg_control = rights.bytes, .msg_controllen = sizeof rights };
    if (recvmsg(fake->boot->control, &header, MSG_CMSG_CLOEXEC) <= 0)
        return 0;
    if (message.kind == CONTROL_STOP)
        return end(fake);
    if (message.kind == CONTROL_REOPEN)
        reopen(fake->boot, &header, message.text);
    if (message.kind != CONTROL_DRAIN || told(fake->config, "hang-on-drain"))
        return -1;
    fake->draining = true;
    return told(fake->config, "slow-drain") && fake->held_count ? -1 : end(fake);
}

static void drop_closed(struct fake *fake, const struct pollfd *polls)
{
    int kept = 0;
    for (int i = 0; i < fake->held_count; i++)
        if (polls[i].revents)
            close(fake->held[i]);
        else
            fake->held[kept++] = fake->held[i];
    fake->held_count = kept;
}

static int turn(struct fake *fake)
{
    const struct vm_worker_boot *boot = fake->boot;
    struct pollfd polls[1 + 2 * FDS_MAX];
    uint32_t listeners = fake->draining ? 0 : boot->listener_count, held = (uint32_t)fake->held_count;
    polls[0] = (struct pollfd){ told(fake->config, "deaf") ? -1 : boot->control, POLLIN, 0 };
    for (uint32_t i = 0; i < listeners; i++)
        polls[1 + i] = (struct pollfd){ boot->listeners[i], POLLIN, 0 };
    for (uint32_t i = 0; i < held; i++)
        polls[1 + listeners + i] = (struct pollfd){ fake->held[i], POLLIN, 0 };
    poll(polls, 1 + listeners + held, 60000);
    int code = polls[0].revents ? hear(fake) : -1;
    drop_closed(fake, polls + 1 + listeners);
    for (uint32_t i = 0; i < listeners && code < 0; i++) {
        int fd = polls[1 + i].revents ? accept4(boot->listeners[i], NULL, NULL, SOCK_CLOEXEC) : -1;
        if (fd >= 0)
            serve(fake, fd);
    }
    return code < 0 && fake->draining && told(fake->config, "slow-drain") && !fake->held_count ? end(fake) : code;
}

/* Whether this worker is told not to start; the exit code. */
static int refuse_to_start(struct fake *fake)
{
    char text[300];
    int code, slot;
    const char *one = told(fake->config, "fail-slot");
    if (one && sscanf(one, "%d %d %299[^\n]", &slot, &code, text) == 3 &&
        slot == (int)fake->boot->number) {
        say(fake->boot->control, CONTROL_FAILED, text);
        return code;
    }
    const char *fail = told(fake->config, "fail");
    if (fail && sscanf(fail, "%d %299[^\n]", &code, text) == 2) {
        say(fake->boot->control, CONTROL_FAILED, text);
        return code;
    }
    return -1;
}

int vm_worker(const struct vm_worker_boot *boot)
{
    static struct fake fake;
    fake.boot = boot;
    read_config(boot->options->file, fake.config);
    int code = refuse_to_start(&fake);
    if (code >= 0)
        return code;
    const char *path = told(fake.config, "crash-if");
    if (path && access(path, F_OK) == 0)
        abort();
    if (told(fake.config, "die-unready"))
        return 9;
    const char *never = told(fake.config, "never-ready");
    while (never && (*never == 0 || atoi(never) == (int)boot->number))
        pause();
    for (uint32_t i = 0; i < boot->listener_count; i++)
        fcntl(boot->listeners[i], F_SETFL, O_NONBLOCK); /* another worker may be faster at a shared socket */
    say(boot->control, CONTROL_READY, "");
    while (code < 0)
        code = turn(&fake);
    return code;
}

int vm_command(const struct vm_options *options)
{
    char config[CONFIG_BYTES];
    read_config(options->file, config);
    misbehave_in_plan(config, -1);
    printf("%s %s\n", options->command, options->file);
    return told(config, "plan-problem") ? 1 : 0;
}

const char *vm_version(void)
{
    return "no Lua";
}
