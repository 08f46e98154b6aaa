/* Channels of c-ares on our loop: one for each set of name servers that somebody asks. */
#include "proxy/resolve.h"

#include <ares.h>
#include <arpa/nameser.h>
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "net/net.h"
#include "proxy/resolve_inner.h"

enum { CHANNELS = 8, TRY_MS = 2000, TRIES = 3, WRITE_MS = 5 /* how often a socket that waits for room is looked at */ };

struct channel {
    ares_channel ares; /* NULL: free */
    char server[64];
    struct timespec config; /* when resolv.conf was changed */
    uint32_t asking;
    struct resolver *resolver;
};

struct socket {
    struct channel *channel; /* NULL: free */
    int fd;
    bool wants_write;
};

struct resolver {
    struct alarm alarm;
    struct net *net;
    struct alarms *alarms;
    uint32_t user;
    bool ending;
    struct channel channels[CHANNELS];
    struct socket sockets[RESOLVE_SOCKETS];
};

/* ---- sockets and time ---- */

static void look(void *context, struct alarm *alarm);

static void rearm(struct resolver *resolver)
{
    double ms = -1;
    for (uint32_t i = 0; i < CHANNELS; i++) {
        struct timeval left, *due = resolver->channels[i].ares ? ares_timeout(resolver->channels[i].ares, NULL, &left) : NULL;
        double due_ms = due ? (double)due->tv_sec * 1e3 + (double)due->tv_usec / 1e3 : -1;
        if (due && (ms < 0 || due_ms < ms))
            ms = due_ms;
    }
    for (uint32_t i = 0; i < RESOLVE_SOCKETS; i++)
        if (resolver->sockets[i].channel && resolver->sockets[i].wants_write && (ms < 0 || ms > WRITE_MS))
            ms = WRITE_MS;
    if (ms >= 0)
        alarm_set(resolver->alarms, &resolver->alarm, ms + 1);
    else
        alarm_stop(resolver->alarms, &resolver->alarm);
}

/* What the channel's sockets are ready for, without waiting, and its time limits. */
static void process(struct resolver *resolver, struct channel *channel)
{
    for (uint32_t i = 0; i < RESOLVE_SOCKETS && channel->ares; i++) {
        struct socket *socket = &resolver->sockets[i];
        if (socket->channel != channel)
            continue;
        struct pollfd ready = { socket->fd, (short)(POLLIN | (socket->wants_write ? POLLOUT : 0)), 0 };
        if (poll(&ready, 1, 0) != 1)
            continue;
        bool readable = ready.revents & (POLLIN | POLLERR | POLLHUP), writable = ready.revents & POLLOUT;
        ares_process_fd(channel->ares, readable ? ready.fd : ARES_SOCKET_BAD, writable ? ready.fd : ARES_SOCKET_BAD);
    }
    ares_process_fd(channel->ares, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
}

static void look(void *context, struct alarm *alarm)
{
    (void)context;
    struct resolver *resolver = (struct resolver *)(void *)alarm; /* it is the first of it */
    for (uint32_t i = 0; i < CHANNELS; i++)
        if (resolver->channels[i].ares)
            process(resolver, &resolver->channels[i]);
    rearm(resolver);
}

void resolver_ready(struct resolver *resolver, uint32_t socket)
{
    if (socket < RESOLVE_SOCKETS && resolver->sockets[socket].channel)
        process(resolver, resolver->sockets[socket].channel);
    rearm(resolver);
}

static struct socket *socket_of(struct resolver *resolver, int fd)
{
    struct socket *unused = NULL;
    for (uint32_t i = 0; i < RESOLVE_SOCKETS; i++) {
        struct socket *socket = &resolver->sockets[i];
        if (socket->channel && socket->fd == fd)
            return socket;
        if (!socket->channel && !unused)
            unused = socket;
    }
    return unused;
}

/* c-ares says what it wants of a socket; neither: it closes it next. One that cannot be watched is only looked at when it is late. */
static void on_socket(void *data, ares_socket_t fd, int readable, int writable)
{
    struct channel *channel = data;
    struct resolver *resolver = channel->resolver;
    struct socket *socket = socket_of(resolver, fd);
    if (!socket)
        return;
    uint32_t user = resolver->user + (uint32_t)(socket - resolver->sockets);
    if (!socket->channel && (readable || writable)) {
        *socket = (struct socket){ .channel = channel, .fd = fd };
        net_watch(resolver->net, fd, user);
    }
    socket->wants_write = writable;
    if (socket->channel && !readable && !writable) {
        socket->channel = NULL;
        net_unwatch(resolver->net, user);
    }
}

/* ---- channels ---- */

static struct timespec config_time(void)
{
    struct stat about;
    return stat("/etc/resolv.conf", &about) == 0 ? about.st_mtim : (struct timespec){ 0 };
}

static int channel_open(struct resolver *resolver, struct channel *channel, const char *server)
{
    struct ares_options options = { .timeout = TRY_MS, .tries = TRIES, .sock_state_cb = on_socket, .sock_state_cb_data = channel };
    channel->resolver = resolver;
    channel->config = config_time();
    snprintf(channel->server, sizeof channel->server, "%s", server);
    int error = ares_init_options(&channel->ares, &options, ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB);
    if (error) {
        channel->ares = NULL;
        return error;
    }
    if (*server)
        error = ares_set_servers_ports_csv(channel->ares, server);
    if (!error)
        return 0;
    ares_destroy(channel->ares);
    channel->ares = NULL;
    return error;
}

static void channel_close(struct channel *channel)
{
    ares_channel ares = channel->ares;
    if (!ares)
        return;
    ares_destroy(ares);
    channel->ares = NULL;
}

static bool is_outdated(const struct channel *channel)
{
    struct timespec now = config_time();
    return channel->asking == 0 && (now.tv_sec != channel->config.tv_sec || now.tv_nsec != channel->config.tv_nsec);
}

/* The channel that asks these servers; one that nobody uses makes room. NULL with *ret_why. */
static struct channel *channel_of(struct resolver *resolver, const char *server, const char **ret_why)
{
    struct channel *place = NULL;
    for (uint32_t i = 0; i < CHANNELS; i++) {
        struct channel *channel = &resolver->channels[i];
        if (channel->ares && strcmp(channel->server, server) == 0) {
            if (!is_outdated(channel))
                return channel;
            place = channel;
            break;
        }
        if (!place || (place->ares && !channel->ares))
            place = channel->asking == 0 ? channel : place;
    }
    *ret_why = "too many name servers are asked at once";
    if (!place)
        return NULL;
    channel_close(place);
    int error = channel_open(resolver, place, server);
    *ret_why = error ? ares_strerror(error) : NULL;
    return error ? NULL : place;
}

struct resolver *resolver_new(struct net *net, struct alarms *alarms, uint32_t user)
{
    struct resolver *resolver = calloc(1, sizeof *resolver);
    if (!resolver || ares_library_init(ARES_LIB_INIT_ALL) != 0) {
        free(resolver);
        return NULL;
    }
    resolver->net = net;
    resolver->alarms = alarms;
    resolver->user = user;
    resolver->alarm.ring = look;
    return resolver;
}

void resolver_free(struct resolver *resolver)
{
    if (!resolver)
        return;
    resolver->ending = true;
    alarm_stop(resolver->alarms, &resolver->alarm);
    for (uint32_t i = 0; i < CHANNELS; i++)
        channel_close(&resolver->channels[i]);
    ares_library_cleanup();
    free(resolver);
}

/* ---- questions ---- */

struct question {
    struct resolver *resolver;
    struct channel *channel;
    resolve_answered *answered;
    void *context;
    uint32_t open; /* queries on their way */
    uint32_t target_count;
    const char *why;
    struct service_target targets[SERVICE_TARGETS_MAX];
    struct resolve_answer answer;
};

/* One target of a service that is asked for, so that its answer finds the way back. */
struct step {
    struct question *question;
    const struct service_target *target; /* NULL: the host itself */
};

static void finish(struct question *question)
{
    if (--question->open > 0)
        return;
    question->channel->asking--;
    if (question->answer.count == 0)
        question->answer.why = question->why ? question->why : "it has no address";
    if (!question->resolver->ending)
        question->answered(question->context, &question->answer);
    free(question);
}

static void add(struct question *question, const struct ares_addrinfo_node *node, const struct service_target *target)
{
    struct resolve_answer *answer = &question->answer;
    if (answer->count == RESOLVE_MAX || (node->ai_family != AF_INET && node->ai_family != AF_INET6))
        return;
    struct resolved *one = &answer->list[answer->count++];
    *one = (struct resolved){ .family = (uint16_t)node->ai_family };
    if (node->ai_family == AF_INET)
        memcpy(one->raw, &((const struct sockaddr_in *)(const void *)node->ai_addr)->sin_addr, 4);
    else
        memcpy(one->raw, &((const struct sockaddr_in6 *)(const void *)node->ai_addr)->sin6_addr, 16);
    if (target) {
        one->port = target->port;
        one->priority = target->priority;
        one->weight = target->weight;
    }
    uint32_t ttl_ms = node->ai_ttl > 0 && node->ai_ttl < 86400 ? (uint32_t)node->ai_ttl * 1000 : node->ai_ttl > 0 ? 86400000 : 0;
    if (ttl_ms && (answer->ttl_ms == 0 || ttl_ms < answer->ttl_ms))
        answer->ttl_ms = ttl_ms;
}

static void on_addresses(void *arg, int status, int timeouts, struct ares_addrinfo *found)
{
    struct step *step = arg;
    struct question *question = step->question;
    (void)timeouts;
    if (status != ARES_SUCCESS)
        question->why = ares_strerror(status);
    for (const struct ares_addrinfo_node *node = found ? found->nodes : NULL; node; node = node->ai_next)
        add(question, node, step->target);
    if (found)
        ares_freeaddrinfo(found);
    free(step);
    finish(question);
}

static void ask_host(struct question *question, const char *host, const struct service_target *target)
{
    const struct ares_addrinfo_hints hints = { .ai_flags = ARES_AI_NOSORT, .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM };
    struct step *step = malloc(sizeof *step);
    question->open++;
    if (!step) {
        question->why = "not enough memory";
        finish(question);
        return;
    }
    *step = (struct step){ question, target };
    ares_getaddrinfo(question->channel->ares, host, NULL, &hints, on_addresses, step);
}

static void on_service(void *arg, int status, int timeouts, unsigned char *bytes, int count)
{
    struct question *question = arg;
    (void)timeouts;
    if (status == ARES_SUCCESS)
        question->target_count = service_read(bytes, count, question->targets, &question->answer.ttl_ms);
    if (status != ARES_SUCCESS)
        question->why = ares_strerror(status);
    else if (question->target_count == 0)
        question->why = "it is no service, or one without servers";
    for (uint32_t i = 0; i < question->target_count && !question->resolver->ending; i++)
        ask_host(question, question->targets[i].host, &question->targets[i]);
    finish(question);
}

void resolver_ask(struct resolver *resolver, const char *server, const char *host, int is_service, resolve_answered *answered, void *context)
{
    struct resolve_answer failed = { .why = "not enough memory" };
    struct channel *channel = channel_of(resolver, server, &failed.why);
    struct question *question = channel ? calloc(1, sizeof *question) : NULL;
    if (!question) {
        answered(context, &failed);
        return;
    }
    *question = (struct question){ .resolver = resolver, .channel = channel, .answered = answered, .context = context, .open = 1 };
    channel->asking++;
    if (is_service) {
        ares_search(channel->ares, host, ns_c_in, ns_t_srv, on_service, question);
    } else {
        ask_host(question, host, NULL);
        finish(question);
    }
    rearm(resolver);
}
