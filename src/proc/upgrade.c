/* Both sides of taking over. They speak over a pair of sockets: "serving VERSION\n" one way, "yours\n" the other. */
#include "proc/upgrade.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proc/instance.h"
#include "proc/limits.h"
#include "proc/notify.h"
#include "proc/signals.h"

enum { PROBLEMS_BYTES_MAX = 65536, ANSWER_MS = 10000 };

static char program[4096];
static char **words;

void upgrade_remember(char **argv)
{
    words = argv;
    ssize_t bytes = readlink("/proc/self/exe", program, sizeof program - 1);
    if (bytes > 0)
        program[bytes] = 0;
    else
        snprintf(program, sizeof program, "%s", argv[0] ? argv[0] : "moongate");
}

void upgrade_init(struct upgrade *upgrade, const struct inheritance *before)
{
    *upgrade = (struct upgrade){ .tell = before->tell, .errors = -1, .due_ms = INT64_MAX, .before = *before };
    upgrade->state = before->tell >= 0 ? UPGRADE_TAKING : UPGRADE_NONE;
}

static void close_end(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

/* ---- the one before: starting the other ---- */

/* Everything that the new one is given, as it is numbered here. */
static uint32_t list_sockets(const struct master *master, struct inherited_socket *ret_sockets)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < master->listeners.count; i++) {
        const struct listener *listener = master->listeners.list[i];
        uint32_t slots = listener->address.kind == ADDRESS_UNIX ? 1 : listener->slots;
        for (uint32_t slot = 0; slot < slots && count < INHERIT_MAX; slot++)
            ret_sockets[count++] = (struct inherited_socket){ listener->fds[slot], listener->address.text };
    }
    return count;
}

static void keep_open(int fd)
{
    if (fd >= 0)
        fcntl(fd, F_SETFD, 0);
}

static void __attribute__((noreturn)) start_program(const struct master *master, int tell, int errors)
{
    static struct inherited_socket sockets[INHERIT_MAX];
    struct inheritance before = {
        .lock = master->claim.lock,
        .control = master->claim.listener,
        .stores = master->stores.fd,
        .changes = changes_write(master),
        .tell = tell,
        .errors = fcntl(STDERR_FILENO, F_DUPFD, 3),
        .generation = master->generation,
    };
    uint32_t count = list_sockets(master, sockets);
    char number[16];
    int list = inherit_write(&before, sockets, count);
    for (uint32_t i = 0; i < count; i++)
        keep_open(sockets[i].fd);
    keep_open(before.lock);
    keep_open(before.control);
    keep_open(before.stores);
    keep_open(before.changes);
    keep_open(tell);
    snprintf(number, sizeof number, "%d", list);
    setenv(inherit_variable, number, 1);
    notify_hand_down();
    dup2(errors, STDERR_FILENO);
    signals_reset(SIGNALS_OF_CHILD);
    execv(program, words);
    fprintf(stderr, "moongate: cannot start %s: %s\n", program, strerror(errno));
    _exit(EXIT_SYSTEM);
}

/* 0 or -errno. */
static int spawn(struct master *master)
{
    struct upgrade *upgrade = &master->upgrade;
    int ends[2], errors[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) < 0)
        return -errno;
    if (pipe2(errors, O_CLOEXEC) < 0) {
        int failed = -errno;
        close(ends[0]);
        close(ends[1]);
        return failed;
    }
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0)
        start_program(master, ends[1], errors[1]);
    int failed = pid < 0 ? -errno : 0;
    close(ends[1]);
    close(errors[1]);
    upgrade->tell = ends[0];
    upgrade->errors = errors[0];
    upgrade->pid = pid;
    fcntl(errors[0], F_SETFL, O_NONBLOCK);
    if (failed) {
        close_end(&upgrade->tell);
        close_end(&upgrade->errors);
    }
    return failed;
}

int64_t upgrade_most_ms(void)
{
    return proc_limits.load_ms + proc_limits.start_ms + ANSWER_MS;
}

static void answer(struct master *master, const char *text)
{
    for (uint32_t i = 0; i < CONTROL_CLIENTS_MAX; i++) {
        struct client *client = &master->control.clients[i];
        if (client->state != CLIENT_WAITING || client->wait != WAIT_UPGRADE)
            continue;
        text_put(&client->answer, "%s", text);
        control_finish(client, master->now_ms);
    }
}

static void refuse(struct master *master, struct client *client, const char *why)
{
    if (client) {
        text_put(&client->answer, "error: upgrade: %s\n", why);
        control_finish(client, master->now_ms);
    } else {
        logs_say(&master->logs, LOG_LEVEL_ERROR, "%s: upgrade: %s", master->claim.name, why);
    }
}

void upgrade_ask(struct master *master, struct client *client)
{
    struct upgrade *upgrade = &master->upgrade;
    if (master->state != MASTER_SERVING || upgrade->state != UPGRADE_NONE) {
        refuse(master, client, upgrade->state == UPGRADE_STARTING ? "one is under way already" : "the instance is starting or stopping");
        return;
    }
    if (master->reload.state != RELOAD_IDLE) {
        refuse(master, client, "a reload is under way: ask again when it is done");
        return;
    }
    int failed = spawn(master);
    if (failed) {
        refuse(master, client, strerror(-failed));
        return;
    }
    upgrade->state = UPGRADE_STARTING;
    upgrade->began_ms = master->now_ms;
    upgrade->due_ms = master->now_ms + upgrade_most_ms();
    logs_say(&master->logs, LOG_LEVEL_INFO, "%s: upgrade: starting %s (pid %d)", master->claim.name, program, upgrade->pid);
    if (!client)
        return;
    text_put(&client->answer, "wait %lld\n", (long long)upgrade_most_ms());
    client->wait = WAIT_UPGRADE;
    control_send(client);
}

/* ---- the one before: hearing the other ---- */

static void hear_errors(struct upgrade *upgrade)
{
    char bytes[4096];
    ssize_t got = 1;
    while (upgrade->errors >= 0 && (got = read(upgrade->errors, bytes, sizeof bytes)) > 0) {
        (void)!write(STDERR_FILENO, bytes, (size_t)got);
        if (upgrade->problems.bytes < PROBLEMS_BYTES_MAX)
            text_put(&upgrade->problems, "%.*s", (int)got, bytes);
    }
    if (got == 0)
        close_end(&upgrade->errors);
}

static void upgrade_fini(struct upgrade *upgrade)
{
    close_end(&upgrade->tell);
    close_end(&upgrade->errors);
    text_fini(&upgrade->problems);
    upgrade->problems = (struct text){ 0 };
}

static void failed(struct master *master, const char *why)
{
    struct upgrade *upgrade = &master->upgrade;
    struct text text = { 0 };
    hear_errors(upgrade);
    text_put(&text, "error: upgrade: %s; nothing has changed: pid %ld serves on\n", why, (long)getpid());
    if (upgrade->problems.bytes)
        text_put(&text, "%.*s", (int)upgrade->problems.bytes, upgrade->problems.at);
    logs_say(&master->logs, LOG_LEVEL_ERROR, "%s: upgrade: %s; nothing has changed", master->claim.name, why);
    answer(master, text.at ? text.at : "");
    text_fini(&text);
    upgrade_fini(upgrade);
    upgrade->state = UPGRADE_NONE;
    upgrade->due_ms = INT64_MAX;
}

/* The new one has ended before it served. */
static void look_for_end(struct master *master)
{
    char why[96];
    int status;
    if (waitpid(master->upgrade.pid, &status, WNOHANG) != master->upgrade.pid)
        return;
    if (WIFSIGNALED(status))
        snprintf(why, sizeof why, "the new program was killed by %s before it served", signals_name(WTERMSIG(status)));
    else
        snprintf(why, sizeof why, "the new program ended with exit code %d before it served", WEXITSTATUS(status));
    failed(master, why);
}

static void too_late(struct master *master, const char *why)
{
    int status;
    kill(master->upgrade.pid, SIGKILL); /* its workers end with it */
    struct pollfd end = { master->upgrade.tell, POLLIN, 0 };
    poll(&end, 1, (int)proc_limits.kill_ms);
    waitpid(master->upgrade.pid, &status, WNOHANG);
    failed(master, why);
}

/* Name, control socket and the paths of unix sockets stay where they are: they are another's. */
static void let_go(struct master *master)
{
    master->control.listener = -1;
    claim_let_go(&master->claim);
    for (uint32_t i = 0; i < master->listeners.count; i++)
        master->listeners.list[i]->file = 0;
}

void upgrade_end(struct master *master)
{
    if (master->upgrade.state == UPGRADE_TAKING || master->upgrade.state == UPGRADE_ASKING)
        let_go(master);
    upgrade_fini(&master->upgrade);
}

void upgrade_stop(struct master *master)
{
    if (master->upgrade.state == UPGRADE_STARTING)
        too_late(master, "the instance is stopping");
}

/* What belongs to the instance is the new one's from here on. */
static void hand_over(struct master *master, const char *version)
{
    struct upgrade *upgrade = &master->upgrade;
    struct text text = { 0 };
    text_put(&text, "%s: upgraded to %s: pid %d serves, after %s; pid %ld finishes its requests, at most %s\n", master->claim.name, version,
             upgrade->pid, text_duration(master->now_ms - upgrade->began_ms), (long)getpid(), text_duration(master->plan.drain_ms));
    logs_say(&master->logs, LOG_LEVEL_INFO, "%.*s", (int)text.bytes - 1, text.at);
    answer(master, text.at);
    text_fini(&text);
    hear_errors(upgrade);
    upgrade->state = UPGRADE_GIVEN;
    upgrade->due_ms = INT64_MAX;
    let_go(master);
    notify_main(upgrade->pid);
    (void)!send(upgrade->tell, "yours\n", 6, MSG_NOSIGNAL | MSG_DONTWAIT);
    master_stop(master, "upgrade");
}

static void hear_new(struct master *master)
{
    char line[96], version[64];
    ssize_t got = recv(master->upgrade.tell, line, sizeof line - 1, MSG_DONTWAIT);
    if (got > 0) {
        line[got] = 0;
        if (sscanf(line, "serving %63s", version) == 1)
            hand_over(master, version);
    } else if (got == 0) {
        close_end(&master->upgrade.tell);
    }
}

/* ---- the new one ---- */

void upgrade_speak_up(struct master *master)
{
    if (master->upgrade.before.errors < 0)
        return;
    fflush(stderr);
    dup2(master->upgrade.before.errors, STDERR_FILENO);
    close_end(&master->upgrade.before.errors);
}

bool upgrade_serves(struct master *master)
{
    struct upgrade *upgrade = &master->upgrade;
    if (upgrade->state != UPGRADE_TAKING)
        return true;
    char line[96];
    int bytes = snprintf(line, sizeof line, "serving %s\n", MG_VERSION);
    upgrade->state = UPGRADE_ASKING;
    upgrade->due_ms = master->now_ms + ANSWER_MS;
    (void)!send(upgrade->tell, line, (size_t)bytes, MSG_NOSIGNAL | MSG_DONTWAIT); /* a master that is gone is seen by the end of the socket */
    return false;
}

/* "yours", or the end: whoever was there before has nothing to say any more. */
static bool take_over(struct master *master)
{
    char line[16];
    ssize_t got = recv(master->upgrade.tell, line, sizeof line, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return false;
    close_end(&master->upgrade.tell);
    master->upgrade.state = UPGRADE_NONE;
    master->upgrade.due_ms = INT64_MAX;
    claim_sign(&master->claim);
    control_init(&master->control, master->claim.listener);
    return true;
}

/* ---- both ---- */

void upgrade_polls(const struct upgrade *upgrade, struct pollfd *ret_polls)
{
    bool hears = upgrade->state == UPGRADE_STARTING || upgrade->state == UPGRADE_ASKING;
    ret_polls[0] = (struct pollfd){ hears ? upgrade->tell : -1, POLLIN, 0 };
    ret_polls[1] = (struct pollfd){ upgrade->state == UPGRADE_STARTING ? upgrade->errors : -1, POLLIN, 0 };
}

bool upgrade_turn(struct master *master, const struct pollfd *polls)
{
    struct upgrade *upgrade = &master->upgrade;
    if (upgrade->state == UPGRADE_STARTING) {
        if (polls[1].revents)
            hear_errors(upgrade);
        if (polls[0].revents)
            hear_new(master);
        if (upgrade->state == UPGRADE_STARTING)
            look_for_end(master);
        if (upgrade->state == UPGRADE_STARTING && upgrade->due_ms <= master->now_ms)
            too_late(master, "the new program did not come to serve in time and was killed");
    } else if (upgrade->state == UPGRADE_ASKING) {
        if (polls[0].revents)
            return take_over(master);
        if (upgrade->due_ms <= master->now_ms) {
            fprintf(stderr, "moongate: upgrade: the master before does not answer\n");
            upgrade->due_ms = INT64_MAX;
            master->exit_code = EXIT_TIMEOUT;
            master_stop(master, "upgrade");
        }
    }
    return false;
}

int64_t upgrade_due(const struct master *master)
{
    return master->upgrade.due_ms;
}
