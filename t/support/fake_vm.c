/* A stand-in for Lua, for the specs of the processes: behind abi/vm.h, but told what to do by the "config", a text of lines. Lines
 * are plan lines (abi/vm.h), or "fake WHAT", which say how loading and workers misbehave:
 *
 *   fake plan-hang | plan-crash | plan-partial | plan-problem TEXT
 *   fake plan-say TEXT             says so to standard error
 *   fake plan-exec PATH            leaves a process behind and writes its pid to the file
 *   fake plan-missing PATH         looks for this file in vain: a problem, with a line of the plan
 *   fake plan-wait PATH            does not end before the file is there; makes PATH.asked
 *   fake fail CODE TEXT            each worker says CONTROL_FAILED and ends with CODE
 *   fake fail-slot N CODE TEXT     only worker N (from 0) does
 *   fake fail-if PATH              with code 6, as long as the file is there
 *   fake die-unready               ends before it says anything
 *   fake never-ready [N]           no worker, or not worker N, ever says that it is ready
 *   fake unready-if PATH           says that it is ready when the file is gone
 *   fake slow-drain                ends when the last connection that it holds is closed
 *   fake hang-on-drain             ends when told to stop now
 *   fake deaf                      does not hear its master at all once it serves
 *   fake crash-if PATH             crashes at once whenever the file is there
 *   fake prepare-fail [N] TEXT     of all workers, or worker N
 *   fake prepare-wait | prepare-spin | prepare-crash [N]     waits for ever and serves on; serves no more; dies
 *   fake prepare-until PATH        is prepared when the file is there; makes PATH.asked
 *   fake commit-deaf | commit-crash [N]                      when it is to be put in service
 *   fake ask-silent | ask-long BYTES
 *
 * What concerns prepare and commit is read in the new generation. A worker answers HTTP/1.0 requests: /pid, /number, /first,
 * /descriptors, /options, /signals, /generation, /say (what follows "fake say"); it obeys /crash, /exit, /spin, /hang-up (closes its
 * control socket and spins) and /hold (keeps the connection). */
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

enum { CONFIG_BYTES = 16384, FDS_MAX = 64, PART_BYTES = 4080 };

struct generation {
    uint32_t number; /* 0: none */
    time_t since;
    char config[CONFIG_BYTES];
};

struct fake {
    const struct vm_worker_boot *boot;
    struct generation serving, next;
    const char *config; /* of the one that serves */
    uint32_t numbers[FDS_MAX];
    int listeners[FDS_MAX];
    bool used[FDS_MAX]; /* or waits for a COMMIT */
    int listener_count;
    int held[FDS_MAX];
    int held_count;
    bool draining;
};

/* Limits in milliseconds may be set from outside, so that no spec has to wait for the real ones. */
__attribute__((constructor)) static void set_limits(void)
{
    static const struct {
        const char *name;
        int64_t *limit;
    } limits[] = {
        { "FAKE_LOAD_MS", &proc_limits.load_ms },       { "FAKE_START_MS", &proc_limits.start_ms },
        { "FAKE_PREPARE_MS", &proc_limits.prepare_ms }, { "FAKE_COMMIT_MS", &proc_limits.commit_ms },
        { "FAKE_ASK_MS", &proc_limits.ask_ms },         { "FAKE_WATCHES_MAX", &proc_limits.watches_max },
    };
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++)
        if (getenv(limits[i].name))
            *limits[i].limit = atol(getenv(limits[i].name));
}

static void read_sources(int fd, char *text)
{
    ssize_t bytes = pread(fd, text, CONFIG_BYTES - 1, 0);
    text[bytes > 0 ? bytes : 0] = 0;
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

/* The rest of the line "fake WHAT…", NULL when there is none. Valid until the next call. */
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

static void await_file(const char *path)
{
    char name[512];
    snprintf(name, sizeof name, "%s.asked", path);
    FILE *asked = fopen(name, "we");
    if (asked && fputs("asked", asked) >= 0)
        fclose(asked);
    snprintf(name, sizeof name, "%s", path);
    while (access(name, F_OK) != 0)
        usleep(1000);
}

void vm_warm(void)
{
}

void vm_cool(void)
{
}

int vm_plan(const struct vm_options *options, int out, int sources)
{
    char config[CONFIG_BYTES];
    read_config(options->file, config);
    if (options->file)
        dprintf(out, "file %s\n", options->file);
    if (options->file && access(options->file, R_OK) != 0) {
        fprintf(stderr, "%s: no such file\n", options->file);
        return 1;
    }
    misbehave_in_plan(config, out);
    if (told(config, "plan-wait"))
        await_file(told(config, "plan-wait"));
    if (told(config, "plan-say"))
        fprintf(stderr, "%s\n", told(config, "plan-say"));
    if (told(config, "plan-missing") && access(told(config, "plan-missing"), F_OK) != 0) {
        fprintf(stderr, "%s:1:1: no file \"%s\"\n", options->file, told(config, "plan-missing"));
        dprintf(out, "file %s\n", told(config, "plan-missing"));
        return 1;
    }
    if (sources >= 0 && write(sources, config, strlen(config)) < 0)
        return 1;
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

static void say(int control, enum control_kind kind, double argument, const char *text)
{
    struct control_message message = { .kind = kind, .argument = argument };
    message.text_bytes = (uint32_t)strnlen(text, sizeof message.text);
    memcpy(message.text, text, message.text_bytes);
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
    snprintf(stats->route_name, sizeof stats->route_name, "%s", name);
    stats->route = stats->entry = 2;
    stats->least_ms = 1000; /* looked at as a gate is, but without a limit: soft_ms is 0 */
    stats->beat += 1;
    stats->busy = 1;
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
    fake->boot->stats->busy = 0;
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
    else if (strcmp(path, "/generation") == 0)
        answer(fd, "%u", fake->serving.number);
    else if (strcmp(path, "/say") == 0)
        answer(fd, "%s", told(fake->config, "say") ? told(fake->config, "say") : "");
    else if (strcmp(path, "/number") == 0)
        answer(fd, "%u", boot->number);
    else
        answer(fd, "%d", getpid());
    close(fd);
}

/* The descriptor that came along, -1: none. */
static int descriptor_of(struct msghdr *header)
{
    struct cmsghdr *part = CMSG_FIRSTHDR(header);
    int fd = -1;
    if (part && part->cmsg_type == SCM_RIGHTS)
        memcpy(&fd, CMSG_DATA(part), sizeof fd);
    return fd;
}

/* Takes the new descriptor of a log in the place of the old one and writes a line to it. */
static void reopen(const struct vm_worker_boot *boot, int fd, const char *which)
{
    int old = strcmp(which, "access") == 0 ? boot->access_log : boot->error_log;
    if (fd < 0)
        return;
    dprintf(fd, "%s log taken by %d\n", which, getpid());
    if (old > 2)
        dup3(fd, old, O_CLOEXEC);
    close(fd);
}

/* ---- reload ---- */

/* Whether the new generation says `what` about this worker: nothing behind it, or our number. */
static bool of_us(const struct fake *fake, const char *what)
{
    const char *slot = told(fake->next.config, what);
    return slot && (*slot < '0' || *slot > '9' || atoi(slot) == (int)fake->boot->number);
}

static void spin(void)
{
    for (;;)
        pause();
}

static void prepare(struct fake *fake, uint32_t number, int sources)
{
    int control = fake->boot->control;
    fake->next = (struct generation){ .number = number, .since = time(NULL) };
    read_sources(sources, fake->next.config);
    close(sources);
    if (of_us(fake, "prepare-crash"))
        abort();
    if (of_us(fake, "prepare-spin"))
        spin();
    if (told(fake->next.config, "prepare-until"))
        await_file(told(fake->next.config, "prepare-until"));
    if (of_us(fake, "prepare-wait"))
        return;
    if (of_us(fake, "prepare-fail"))
        say(control, CONTROL_FAILED, number, told(fake->next.config, "prepare-fail"));
    else
        say(control, CONTROL_PREPARED, number, "");
}

/* Serves all that is queued at a socket that is not used any more. */
static void serve(struct fake *fake, int fd);

static void serve_queued(struct fake *fake, int listener)
{
    for (int fd; (fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) >= 0;)
        serve(fake, fd);
}

static bool is_named(const char *numbers, uint32_t number)
{
    for (char *end; *numbers; numbers = end) {
        if (strtoul(numbers, &end, 10) == number)
            return true;
        if (end == numbers)
            break;
    }
    return false;
}

static void commit(struct fake *fake, const char *numbers)
{
    int kept = 0;
    if (of_us(fake, "commit-crash"))
        abort();
    if (of_us(fake, "commit-deaf"))
        spin();
    fake->serving = fake->next;
    fake->next.number = 0;
    for (int i = 0; i < fake->listener_count; i++) {
        if (is_named(numbers, fake->numbers[i])) {
            fake->numbers[kept] = fake->numbers[i];
            fake->used[kept] = true;
            fake->listeners[kept++] = fake->listeners[i];
            continue;
        }
        serve_queued(fake, fake->listeners[i]);
        close(fake->listeners[i]);
    }
    fake->listener_count = kept;
    say(fake->boot->control, CONTROL_READY, fake->serving.number, "");
}

static void use_listener(struct fake *fake, uint32_t number, int fd, bool used)
{
    if (fd < 0 || fake->listener_count == FDS_MAX)
        return;
    fcntl(fd, F_SETFL, O_NONBLOCK); /* another worker may be faster at a shared socket */
    fake->numbers[fake->listener_count] = number;
    fake->used[fake->listener_count] = used;
    fake->listeners[fake->listener_count++] = fd;
}

static void give_answer(const struct fake *fake, double ticket, const char *question)
{
    const char *length = told(fake->config, "ask-long");
    char part[PART_BYTES + 1];
    if (told(fake->config, "ask-silent"))
        return;
    if (length) {
        long left = atol(length);
        say(fake->boot->control, CONTROL_ANSWER, ticket, "\"");
        for (; left > 0; left -= PART_BYTES) {
            memset(part, 'x', PART_BYTES);
            part[left < PART_BYTES ? left : PART_BYTES] = 0;
            say(fake->boot->control, CONTROL_ANSWER, ticket, part);
        }
        say(fake->boot->control, CONTROL_ANSWER, ticket, "\"");
    } else if (strcmp(question, "generations") == 0) {
        snprintf(part, sizeof part, "[{\"number\":%u,\"since\":%ld,\"requests\":%d,\"tasks\":0,\"holders\":[]}]", fake->serving.number,
                 (long)fake->serving.since, fake->held_count);
        say(fake->boot->control, CONTROL_ANSWER, ticket, part);
    } else {
        snprintf(part, sizeof part, "[\"%.4000s\"]", question);
        for (char *quote = part + 2; (quote = strchr(quote, '"')) && quote[1] != ']';)
            *quote = '\'';
        say(fake->boot->control, CONTROL_ANSWER, ticket, part);
    }
    say(fake->boot->control, CONTROL_ANSWERED, ticket, "");
}

static int end(struct fake *fake)
{
    say(fake->boot->control, CONTROL_ENDED, 0, "");
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
    message.text[message.text_bytes < sizeof message.text ? message.text_bytes : sizeof message.text - 1] = 0;
    int fd = descriptor_of(&header);
    uint32_t number = (uint32_t)message.argument;
    switch ((enum control_kind)message.kind) {
    case CONTROL_STOP:
        return end(fake);
    case CONTROL_REOPEN:
        reopen(fake->boot, fd, message.text);
        return -1;
    case CONTROL_LISTEN:
        use_listener(fake, number, fd, false);
        return -1;
    case CONTROL_PREPARE:
        prepare(fake, number, fd);
        return -1;
    case CONTROL_COMMIT:
        commit(fake, message.text);
        return -1;
    case CONTROL_ABANDON:
        fake->next.number = 0;
        return -1;
    case CONTROL_ASK:
        give_answer(fake, message.argument, message.text);
        return -1;
    case CONTROL_DRAIN:
        break;
    default:
        return -1;
    }
    if (told(fake->config, "hang-on-drain"))
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
    int listeners = fake->draining ? 0 : fake->listener_count, held = fake->held_count;
    polls[0] = (struct pollfd){ told(fake->config, "deaf") ? -1 : boot->control, POLLIN, 0 };
    for (int i = 0; i < listeners; i++)
        polls[1 + i] = (struct pollfd){ fake->used[i] ? fake->listeners[i] : -1, POLLIN, 0 };
    for (int i = 0; i < held; i++)
        polls[1 + listeners + i] = (struct pollfd){ fake->held[i], POLLIN, 0 };
    poll(polls, (nfds_t)(1 + listeners + held), 60000);
    boot->stats->turn++;
    drop_closed(fake, polls + 1 + listeners);
    for (int i = 0; i < listeners; i++) {
        int fd = polls[1 + i].revents ? accept4(fake->listeners[i], NULL, NULL, SOCK_CLOEXEC) : -1;
        if (fd >= 0)
            serve(fake, fd);
    }
    int code = polls[0].revents ? hear(fake) : -1;
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
        say(fake->boot->control, CONTROL_FAILED, 0, text);
        return code;
    }
    const char *path = told(fake->config, "fail-if");
    if (path && access(path, F_OK) == 0) {
        say(fake->boot->control, CONTROL_FAILED, 0, "no more room");
        return 6;
    }
    const char *fail = told(fake->config, "fail");
    if (fail && sscanf(fail, "%d %299[^\n]", &code, text) == 2) {
        say(fake->boot->control, CONTROL_FAILED, 0, text);
        return code;
    }
    return -1;
}

int vm_worker(const struct vm_worker_boot *boot)
{
    static struct fake fake;
    fake.boot = boot;
    fake.config = fake.serving.config;
    fake.serving.number = boot->generation;
    fake.serving.since = time(NULL);
    read_sources(boot->sources, fake.serving.config);
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
    path = told(fake.config, "unready-if");
    while (path && access(path, F_OK) == 0)
        usleep(1000);
    for (uint32_t i = 0; i < boot->listener_count; i++)
        use_listener(&fake, boot->listener_numbers[i], boot->listeners[i], true);
    say(boot->control, CONTROL_READY, boot->generation, "");
    while (code < 0)
        code = turn(&fake);
    return code;
}

int vm_question(const struct vm_options *options, char *ret_question, uint32_t bytes)
{
    snprintf(ret_question, bytes, "%s", options->command);
    return 0;
}

int vm_command(const struct vm_options *options)
{
    char config[CONFIG_BYTES];
    if (options->answer) {
        printf("%s%s %s", options->command, options->json ? " json" : "", options->answer);
        return 0;
    }
    read_config(options->file, config);
    misbehave_in_plan(config, -1);
    printf("%s %s\n", options->command, options->file);
    return told(config, "plan-problem") ? 1 : 0;
}

const char *vm_version(void)
{
    return "no Lua";
}
