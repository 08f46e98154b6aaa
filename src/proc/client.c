/* Asks a running instance: chooses it by name, sends one line, shows what comes back, waits no longer than it was told to. */
#include "proc/client.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "proc/clock.h"
#include "proc/control.h"
#include "proc/limits.h"
#include "proc/names.h"
#include "proc/text.h"

enum { GO_ON = -1, ANSWER_MS = 5000, WORKERS_MS = 500, ANSWER_EXTRA_MS = 5000, GONE_MS = 2000 };

static void print_names(char (*names)[NAME_BYTES], uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        fprintf(stderr, "%s%s", i ? ", " : "", names[i]);
}

/* The only instance running, or an explanation. */
static int choose(const char *folder, char ret_name[NAME_BYTES])
{
    char names[NAMES_LISTED_MAX][NAME_BYTES];
    uint32_t count = instances_list(folder, names);
    if (count == 1) {
        strcpy(ret_name, names[0]);
        return GO_ON;
    }
    if (count == 0) {
        fprintf(stderr, "moongate: no instance is running\n");
        return EXIT_INSTANCE;
    }
    fprintf(stderr, "moongate: several instances are running, choose one with --name: ");
    print_names(names, count);
    fprintf(stderr, "\n");
    return EXIT_INSTANCE;
}

static int not_running(const char *folder, const char *name, int failed)
{
    char names[NAMES_LISTED_MAX][NAME_BYTES];
    if (failed != -ENOENT && failed != -ECONNREFUSED) {
        fprintf(stderr, "moongate: instance \"%s\": %s\n", name, strerror(-failed));
        return failed == -EAGAIN ? EXIT_TIMEOUT : EXIT_SYSTEM;
    }
    fprintf(stderr, "moongate: no instance named \"%s\" is running", name);
    uint32_t count = instances_list(folder, names);
    if (count)
        fprintf(stderr, "; running: ");
    print_names(names, count);
    fprintf(stderr, "\n");
    return EXIT_INSTANCE;
}

static int connect_instance(const struct options *options, int *ret_fd)
{
    char folder[NAMES_FOLDER_BYTES], name[NAME_BYTES], problem[NAMES_PROBLEM_BYTES];
    if (!names_folder(folder, problem)) {
        fprintf(stderr, "moongate: %s\n", problem);
        return EXIT_SYSTEM;
    }
    if (options->vm.name) {
        name_clean(options->vm.name, name);
    } else {
        int code = choose(folder, name);
        if (code != GO_ON)
            return code;
    }
    *ret_fd = instance_connect(folder, name);
    return *ret_fd < 0 ? not_running(folder, name, *ret_fd) : GO_ON;
}

/* Takes "wait MS" off the front of the answer once the line is whole; the limit moves accordingly. */
static void take_wait(struct text *answer, int64_t *until)
{
    char *end = answer->bytes ? memchr(answer->at, '\n', answer->bytes) : NULL;
    if (!end || answer->bytes < 5 || memcmp(answer->at, "wait ", 5) != 0)
        return;
    *until = clock_ms() + strtoll(answer->at + 5, NULL, 10) + ANSWER_EXTRA_MS;
    answer->bytes -= (uint32_t)(end + 1 - answer->at);
    memmove(answer->at, end + 1, answer->bytes);
}

/* Reads to the end. False: it took too long. */
static bool read_answer(int fd, struct text *answer, int64_t limit_ms)
{
    int64_t until = clock_ms() + limit_ms;
    for (;;) {
        char bytes[4096];
        int64_t left = until - clock_ms();
        struct pollfd readable = { fd, POLLIN, 0 };
        if (left <= 0 || poll(&readable, 1, (int)(left < INT32_MAX ? left : INT32_MAX)) == 0)
            return false;
        ssize_t got = recv(fd, bytes, sizeof bytes, 0);
        if (got > 0)
            text_add(answer, bytes, (uint32_t)got);
        else if (got == 0 || (errno != EAGAIN && errno != EINTR))
            break;
        take_wait(answer, &until);
    }
    return true;
}

/* What is behind `word` at the front of the answer; NULL: it begins otherwise. */
static const char *behind(const struct text *answer, const char *word)
{
    size_t bytes = strlen(word);
    return answer->bytes >= bytes && memcmp(answer->at, word, bytes) == 0 ? answer->at + bytes : NULL;
}

/* Commands whose Lua side (lua/moongate/cli_<command>.lua) knows what to ask the workers, and shows their answers. */
static bool is_question(enum command command)
{
    return command == COMMAND_GENERATIONS || command == COMMAND_EXPLAIN || command == COMMAND_JIT || command == COMMAND_UPSTREAM;
}

static bool say(int fd, const char *line)
{
    return send(fd, line, strlen(line), MSG_NOSIGNAL) == (ssize_t)strlen(line);
}

int client_fetch(const struct options *options, const char *line, int64_t limit_ms, struct text *ret_answer)
{
    int fd;
    int code = connect_instance(options, &fd);
    if (code != GO_ON)
        return code;
    code = say(fd, line) && read_answer(fd, ret_answer, limit_ms ? limit_ms : ANSWER_MS) ? EXIT_OK : EXIT_TIMEOUT;
    if (code == EXIT_OK && (ret_answer->bytes == 0 || ret_answer->lost || behind(ret_answer, "error: ")))
        code = EXIT_TIMEOUT;
    close(fd);
    return code;
}

/* What the workers say of their Lua, below what the master says or as "lua" in its JSON. Those that hang are not waited for. */
static int show_status(const struct options *options, const struct text *answer)
{
    struct text workers = { 0 };
    bool is_there = client_fetch(options, "ask status\n", WORKERS_MS, &workers) == EXIT_OK;
    int code = EXIT_OK;
    if (!options->vm.json) {
        fwrite(answer->at, 1, answer->bytes, stdout);
        fflush(stdout);
        struct vm_options vm = options->vm;
        vm.answer = workers.at;
        code = is_there ? vm_command(&vm) : EXIT_OK;
    } else {
        uint32_t bytes = answer->bytes;
        while (bytes && answer->at[bytes - 1] != '}')
            bytes--;
        printf("%.*s,\"lua\":%s}\n", bytes ? (int)bytes - 1 : 0, answer->at, is_there ? workers.at : "[]");
    }
    text_fini(&workers);
    return code;
}

static int show_answer(const struct options *options, const struct text *answer)
{
    const char *refused = behind(answer, "error: "), *failed = behind(answer, "failed\n");
    if (refused || failed) {
        const char *from = refused ? refused : failed;
        fprintf(stderr, "%s%.*s", refused ? "moongate: " : "", (int)(answer->at + answer->bytes - from), from);
        return EXIT_CONFIG;
    }
    if (answer->bytes == 0) {
        fprintf(stderr, "moongate: %s: the instance ended without an answer\n", options->vm.command);
        return EXIT_TIMEOUT;
    }
    if (is_question(options->command)) {
        struct vm_options vm = options->vm;
        vm.answer = answer->at;
        return vm_command(&vm);
    }
    if (options->command == COMMAND_STATUS)
        return show_status(options, answer);
    fwrite(answer->at, 1, answer->bytes, stdout);
    return EXIT_OK;
}

/* The line to send. An exit code when there is none, everything said. */
static int compose(const struct options *options, char line[CONTROL_LINE_BYTES])
{
    static const char ask[] = "ask ";
    uint32_t most = CONTROL_LINE_BYTES - sizeof ask - 1; /* with the newline */
    if (!is_question(options->command)) {
        snprintf(line, CONTROL_LINE_BYTES, "%s%s\n", options->vm.command, options->vm.json ? " json" : "");
        return GO_ON;
    }
    bool is_whole = options->command == COMMAND_UPSTREAM; /* not only questions */
    strcpy(line, is_whole ? "" : ask);
    int code = vm_question(&options->vm, line + strlen(line), most);
    strcat(line, "\n");
    return code == EXIT_OK ? GO_ON : code;
}

/* Sends the line, takes the answer and shows it. Exit code. */
static int converse(const struct options *options, int fd, const char *line)
{
    struct text answer = { 0 };
    int code = EXIT_TIMEOUT;
    if (say(fd, line) && !read_answer(fd, &answer, ANSWER_MS))
        fprintf(stderr, "moongate: %s: no answer in time\n", options->vm.command);
    else
        code = show_answer(options, &answer);
    text_fini(&answer);
    return code;
}

/* A handle of the process at the other end, -1 where there is none. */
static int peer_handle(int fd)
{
    struct ucred peer;
    socklen_t bytes = sizeof peer;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &bytes) < 0 || peer.pid <= 0)
        return -1;
    return (int)syscall(SYS_pidfd_open, peer.pid, 0);
}

int client_run(const struct options *options)
{
    char line[CONTROL_LINE_BYTES];
    int fd;
    int code = compose(options, line);
    if (code == GO_ON)
        code = connect_instance(options, &fd);
    if (code != GO_ON)
        return code;
    int master = options->command == COMMAND_STOP ? peer_handle(fd) : -1;
    code = converse(options, fd, line);
    if (master >= 0) {
        struct pollfd gone = { master, POLLIN, 0 };
        poll(&gone, 1, code == EXIT_OK ? GONE_MS : 0); /* it has said goodbye: now it only has to exit */
        close(master);
    }
    close(fd);
    return code;
}
