/* Serves the control socket. */
#include "proc/control.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proc/limits.h"

void control_init(struct control *control, int listener)
{
    *control = (struct control){ .listener = listener };
}

static struct client *client_free(struct control *control)
{
    for (uint32_t i = 0; i < CONTROL_CLIENTS_MAX; i++)
        if (control->clients[i].state == CLIENT_NONE)
            return &control->clients[i];
    return NULL;
}

static void client_close(struct client *client)
{
    if (client->state == CLIENT_NONE)
        return;
    close(client->fd);
    text_fini(&client->answer);
    client->state = CLIENT_NONE;
}

static void control_accept(struct control *control, int64_t now_ms)
{
    struct client *client;
    while ((client = client_free(control))) {
        int fd = accept4(control->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0)
            return;
        *client = (struct client){ .state = CLIENT_ASKING, .fd = fd, .due_ms = now_ms + proc_limits.command_ms };
    }
}

/* The line ends with its newline, or where the client says no more. */
static void client_read(struct client *client)
{
    ssize_t got = recv(client->fd, client->line + client->line_bytes, sizeof client->line - 1 - client->line_bytes, 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got < 0 || (got == 0 && client->line_bytes == 0)) {
        client_close(client);
        return;
    }
    client->line_bytes += (uint32_t)got;
    client->line[client->line_bytes] = 0;
    char *end = memchr(client->line, '\n', client->line_bytes);
    if (end)
        *end = 0;
    if (end || got == 0)
        client->state = CLIENT_ASKED;
    else if (client->line_bytes == sizeof client->line - 1)
        client_close(client);
}

void control_send(struct client *client)
{
    while (client->sent < client->answer.bytes) {
        ssize_t sent = send(client->fd, client->answer.at + client->sent, client->answer.bytes - client->sent, MSG_NOSIGNAL);
        if (sent < 0)
            return;
        client->sent += (uint32_t)sent;
    }
}

void control_finish(struct client *client, int64_t now_ms)
{
    client->state = CLIENT_TAKING;
    client->due_ms = now_ms + proc_limits.command_ms;
    control_send(client);
    if (client->sent == client->answer.bytes)
        client_close(client);
}

static void client_turn(struct client *client, short events)
{
    bool gone = events & (POLLHUP | POLLERR);
    switch (client->state) {
    case CLIENT_ASKING:
        client_read(client);
        break;
    case CLIENT_TAKING:
        control_send(client);
        if (gone || client->sent == client->answer.bytes)
            client_close(client);
        break;
    case CLIENT_WAITING:
        if (gone)
            client_close(client);
        break;
    case CLIENT_NONE:
    case CLIENT_ASKED:
        break;
    }
}

void control_polls(const struct control *control, struct pollfd *ret_polls)
{
    bool full = true;
    for (uint32_t i = 0; i < CONTROL_CLIENTS_MAX; i++) {
        const struct client *client = &control->clients[i];
        full &= client->state != CLIENT_NONE;
        short events = client->state == CLIENT_ASKING ? POLLIN : client->state == CLIENT_TAKING ? POLLOUT : 0;
        ret_polls[i + 1] = (struct pollfd){ client->state == CLIENT_NONE ? -1 : client->fd, events, 0 };
    }
    ret_polls[0] = (struct pollfd){ full ? -1 : control->listener, POLLIN, 0 };
}

void control_turn(struct control *control, const struct pollfd *polls, int64_t now_ms)
{
    for (uint32_t i = 0; i < CONTROL_CLIENTS_MAX; i++) {
        struct client *client = &control->clients[i];
        if (polls[i + 1].revents)
            client_turn(client, polls[i + 1].revents);
        if (client->state != CLIENT_NONE && client->due_ms <= now_ms)
            client_close(client);
    }
    if (polls[0].revents)
        control_accept(control, now_ms);
}

struct client *control_next(struct control *control)
{
    for (uint32_t i = 0; i < CONTROL_CLIENTS_MAX; i++) {
        struct client *client = &control->clients[i];
        if (client->state != CLIENT_ASKED)
            continue;
        client->state = CLIENT_WAITING;
        client->due_ms = INT64_MAX;
        return client;
    }
    return NULL;
}

int64_t control_due(const struct control *control)
{
    int64_t due = INT64_MAX;
    for (uint32_t i = 0; i < CONTROL_CLIENTS_MAX; i++)
        if (control->clients[i].state != CLIENT_NONE && control->clients[i].due_ms < due)
            due = control->clients[i].due_ms;
    return due;
}

void control_fini(struct control *control)
{
    for (uint32_t i = 0; i < CONTROL_CLIENTS_MAX; i++)
        client_close(&control->clients[i]);
}
