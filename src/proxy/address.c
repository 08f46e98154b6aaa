/* Server texts to socket addresses: splitting, checking, asking the resolver, naming the result. */
#include "proxy/address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

_Static_assert(sizeof(struct sockaddr_storage) <= 16 * sizeof(uint64_t), "every family fits");

struct parts {
    char host[256], port[8];
};

static int refuse(char *ret_message, uint32_t room, const char *why)
{
    snprintf(ret_message, room, "%s", why);
    return -EINVAL;
}

static int unix_address(const char *path, uint32_t bytes, struct proxy_address *ret, char *ret_message, uint32_t room)
{
    struct sockaddr_un at = { .sun_family = AF_UNIX };
    if (bytes == 0 || path[0] != '/')
        return refuse(ret_message, room, "expected an absolute path after \"unix:\"");
    if (bytes >= sizeof at.sun_path)
        return refuse(ret_message, room, "the path of a socket has at most 107 bytes");
    if (memchr(path, 0, bytes))
        return refuse(ret_message, room, "the path of a socket has no NUL");
    memcpy(at.sun_path, path, bytes);
    memset(ret, 0, sizeof *ret);
    memcpy(ret->storage, &at, sizeof at);
    ret->bytes = (uint32_t)sizeof at;
    snprintf(ret->label, sizeof ret->label, "unix:%s", at.sun_path);
    return 1;
}

static int port_is_valid(const char *text, uint32_t bytes)
{
    uint32_t port = 0;
    if (bytes == 0 || bytes > 5)
        return 0;
    for (uint32_t i = 0; i < bytes; i++) {
        if (text[i] < '0' || text[i] > '9')
            return 0;
        port = port * 10 + (uint32_t)(text[i] - '0');
    }
    return port > 0 && port <= 65535;
}

static int host_is_plain(const char *text, uint32_t bytes)
{
    for (uint32_t i = 0; i < bytes; i++)
        if ((unsigned char)text[i] <= ' ' || strchr("[]/@\"\\\x7f", text[i]))
            return 0;
    return bytes > 0;
}

/* NULL, or what is wrong. */
static const char *split(const char *text, uint32_t bytes, struct parts *ret)
{
    const char *colon = memrchr(text, ':', bytes);
    if (memmem(text, bytes, "://", 3))
        return "a server is written host:port, without a scheme";
    if (!colon)
        return "expected host:port, [v6]:port or unix:/path";
    uint32_t host_bytes = (uint32_t)(colon - text), port_bytes = bytes - host_bytes - 1;
    const char *host = text;
    if (host_bytes > 1 && host[0] == '[' && host[host_bytes - 1] == ']') {
        host++;
        host_bytes -= 2;
    } else if (memchr(host, ':', host_bytes)) {
        return "an IPv6 address is written in brackets: [::1]:80";
    }
    if (!port_is_valid(colon + 1, port_bytes))
        return "expected a port from 1 to 65535 after the last colon";
    if (!host_is_plain(host, host_bytes) || host_bytes >= sizeof ret->host)
        return "expected host:port, [v6]:port or unix:/path";
    memcpy(ret->host, host, host_bytes);
    ret->host[host_bytes] = 0;
    memcpy(ret->port, colon + 1, port_bytes);
    ret->port[port_bytes] = 0;
    return NULL;
}

static void label(struct proxy_address *address, const char *text, uint32_t bytes, const char *host)
{
    char numeric[INET6_ADDRSTRLEN + 32];
    int written = snprintf(address->label, sizeof address->label, "%.*s", bytes > 96 ? 96 : (int)bytes, text);
    int error = getnameinfo((struct sockaddr *)address->storage, address->bytes, numeric, sizeof numeric, NULL, 0, NI_NUMERICHOST);
    if (error == 0 && strcmp(numeric, host) != 0)
        snprintf(address->label + written, sizeof address->label - (size_t)written, " (%s)", numeric);
}

int address_resolve(const char *text, uint32_t bytes, struct proxy_address *ret_addresses, uint32_t room, char *ret_message,
                    uint32_t message_bytes)
{
    struct parts parts;
    if (bytes >= 5 && memcmp(text, "unix:", 5) == 0)
        return unix_address(text + 5, bytes - 5, ret_addresses, ret_message, message_bytes);
    const char *wrong = split(text, bytes, &parts);
    if (wrong)
        return refuse(ret_message, message_bytes, wrong);
    struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV }, *found;
    int error = getaddrinfo(parts.host, parts.port, &hints, &found);
    if (error) {
        snprintf(ret_message, message_bytes, "cannot find the address of %s: %s", parts.host, gai_strerror(error));
        return -ENOENT;
    }
    uint32_t count = 0;
    for (struct addrinfo *at = found; at && count < room; at = at->ai_next) {
        struct proxy_address *address = &ret_addresses[count++];
        memset(address, 0, sizeof *address);
        memcpy(address->storage, at->ai_addr, at->ai_addrlen);
        address->bytes = (uint32_t)at->ai_addrlen;
        label(address, text, bytes, parts.host);
    }
    freeaddrinfo(found);
    return (int)count;
}

/* A question to the resolver. Whoever is the last to let go frees it: the one who asked, or the thread. */
struct question {
    pthread_mutex_t lock;
    pthread_cond_t answered;
    char host[256];
    int error, holders;
    int is_answered;
};

static void question_put(struct question *question)
{
    int left = --question->holders;
    pthread_mutex_unlock(&question->lock);
    if (left > 0)
        return;
    pthread_cond_destroy(&question->answered);
    pthread_mutex_destroy(&question->lock);
    free(question);
}

static void *question_ask(void *argument)
{
    struct question *question = argument;
    struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM }, *found = NULL;
    int error = getaddrinfo(question->host, NULL, &hints, &found);
    if (!error)
        freeaddrinfo(found);
    pthread_mutex_lock(&question->lock);
    question->error = error;
    question->is_answered = 1;
    pthread_cond_signal(&question->answered);
    question_put(question);
    return NULL;
}

static struct question *question_new(const char *host, uint32_t bytes)
{
    struct question *question = bytes < sizeof question->host ? calloc(1, sizeof *question) : NULL;
    if (!question)
        return NULL;
    pthread_mutex_init(&question->lock, NULL);
    pthread_cond_init(&question->answered, NULL);
    memcpy(question->host, host, bytes);
    question->holders = 2;
    pthread_t thread;
    if (pthread_create(&thread, NULL, question_ask, question) == 0) {
        pthread_detach(thread);
        return question;
    }
    free(question);
    return NULL;
}

int address_is_known(const char *host, uint32_t bytes, uint32_t wait_ms, char *ret_message, uint32_t message_bytes)
{
    struct question *question = question_new(host, bytes);
    if (!question)
        return -ETIMEDOUT;
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += wait_ms / 1000;
    until.tv_nsec += (long)(wait_ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_nsec -= 1000000000;
        until.tv_sec++;
    }
    pthread_mutex_lock(&question->lock);
    int late = 0;
    while (!question->is_answered && !late)
        late = pthread_cond_timedwait(&question->answered, &question->lock, &until);
    int result = !question->is_answered ? -ETIMEDOUT : question->error ? -ENOENT : 0;
    if (result == -ENOENT)
        snprintf(ret_message, message_bytes, "%s", gai_strerror(question->error));
    question_put(question);
    return result;
}
