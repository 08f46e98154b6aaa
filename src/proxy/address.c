/* Server texts to socket addresses or names: splitting, checking, labelling. */
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

#include "base/slice.h"

_Static_assert(sizeof(struct sockaddr_storage) <= 16 * sizeof(uint64_t), "every family fits");

struct parts {
    struct slice host;
    uint32_t port;
    int in_brackets;
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
    return PLACE_SOCKET;
}

/* 0: it is not one. */
static uint32_t port_of(struct slice text)
{
    uint32_t port = 0;
    if (text.bytes == 0 || text.bytes > 5)
        return 0;
    for (uint32_t i = 0; i < text.bytes; i++) {
        if (text.at[i] < '0' || text.at[i] > '9')
            return 0;
        port = port * 10 + (uint32_t)(text.at[i] - '0');
    }
    return port <= 65535 ? port : 0;
}

static int host_is_plain(struct slice host)
{
    for (uint32_t i = 0; i < host.bytes; i++)
        if ((unsigned char)host.at[i] <= ' ' || strchr("[]/@\"\\\x7f", host.at[i]))
            return 0;
    return host.bytes > 0 && host.bytes < PLACE_HOST_BYTES;
}

/* NULL, or what is wrong. */
static const char *split(struct slice text, struct parts *ret)
{
    const char *colon = memrchr(text.at, ':', text.bytes);
    if (memmem(text.at, text.bytes, "://", 3))
        return "a server is written host:port, without a scheme";
    if (!colon)
        return "expected host:port, [v6]:port or unix:/path";
    struct slice host = { text.at, (uint32_t)(colon - text.at) };
    ret->in_brackets = host.bytes > 1 && host.at[0] == '[' && host.at[host.bytes - 1] == ']';
    if (ret->in_brackets)
        host = (struct slice){ host.at + 1, host.bytes - 2 };
    else if (memchr(host.at, ':', host.bytes))
        return "an IPv6 address is written in brackets: [::1]:80";
    ret->port = port_of((struct slice){ colon + 1, text.bytes - host.bytes - (ret->in_brackets ? 3 : 1) });
    if (ret->port == 0)
        return "expected a port from 1 to 65535 after the last colon";
    if (!host_is_plain(host))
        return "expected host:port, [v6]:port or unix:/path";
    ret->host = host;
    return NULL;
}

static void fill(struct proxy_address *ret, int family, const void *raw, uint16_t port)
{
    struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = htons(port) };
    struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
    memset(ret, 0, sizeof *ret);
    if (family == AF_INET) {
        memcpy(&v4.sin_addr, raw, sizeof v4.sin_addr);
        memcpy(ret->storage, &v4, sizeof v4);
    } else {
        memcpy(&v6.sin6_addr, raw, sizeof v6.sin6_addr);
        memcpy(ret->storage, &v6, sizeof v6);
    }
    ret->bytes = (uint32_t)(family == AF_INET ? sizeof v4 : sizeof v6);
}

void address_of_name(const char *text, int family, const void *raw, uint16_t port, struct proxy_address *ret)
{
    char numeric[INET6_ADDRSTRLEN];
    fill(ret, family, raw, port);
    inet_ntop(family, raw, numeric, sizeof numeric);
    snprintf(ret->label, sizeof ret->label, family == AF_INET ? "%.260s (%s:%u)" : "%.260s ([%s]:%u)", text, numeric, port);
}

/* 1: it is a number, in *ret. */
static int is_literal(const struct parts *parts, const char *host, struct proxy_address *ret)
{
    struct in6_addr raw;
    int family = parts->in_brackets ? AF_INET6 : AF_INET;
    if (inet_pton(family, host, &raw) != 1)
        return 0;
    fill(ret, family, &raw, (uint16_t)parts->port);
    return 1;
}

static int name_of(struct slice host, uint16_t port, struct address_name *ret)
{
    memcpy(ret->host, host.at, host.bytes);
    ret->host[host.bytes] = 0;
    ret->port = port;
    return PLACE_NAME;
}

static int service_of(struct slice text, struct address_name *ret_name, char *ret_message, uint32_t room)
{
    const char *colon = memchr(text.at, ':', text.bytes);
    if (colon && port_of((struct slice){ colon + 1, (uint32_t)(text.at + text.bytes - colon - 1) }) == 0)
        return refuse(ret_message, room, "expected the name of a service, such as \"_http._tcp.example.org\"");
    struct slice host = { text.at, colon ? (uint32_t)(colon - text.at) : text.bytes };
    if (!host_is_plain(host))
        return refuse(ret_message, room, "expected the name of a service, such as \"_http._tcp.example.org\"");
    name_of(host, 0, ret_name);
    return PLACE_SERVICE;
}

int address_read(const char *text, uint32_t bytes, int is_service, struct proxy_address *ret_address, struct address_name *ret_name,
                  char *ret_message, uint32_t message_bytes)
{
    struct parts parts;
    if (bytes >= PLACE_TEXT_BYTES)
        return refuse(ret_message, message_bytes, "it is too long");
    if (is_service)
        return service_of((struct slice){ text, bytes }, ret_name, ret_message, message_bytes);
    if (bytes >= 5 && memcmp(text, "unix:", 5) == 0)
        return unix_address(text + 5, bytes - 5, ret_address, ret_message, message_bytes);
    const char *wrong = split((struct slice){ text, bytes }, &parts);
    if (wrong)
        return refuse(ret_message, message_bytes, wrong);
    name_of(parts.host, (uint16_t)parts.port, ret_name);
    if (is_literal(&parts, ret_name->host, ret_address)) {
        snprintf(ret_address->label, sizeof ret_address->label, "%.*s", (int)bytes, text);
        return PLACE_SOCKET;
    }
    if (parts.in_brackets || strspn(ret_name->host, "0123456789.") == parts.host.bytes)
        return refuse(ret_message, message_bytes, "it is neither an address nor a name");
    return PLACE_NAME;
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
