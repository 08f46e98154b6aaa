/* sd_notify(3) and sd_watchdog_enabled(3), which are a datagram and two variables each. */
#include "proc/notify.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static struct sockaddr_un manager;
static socklen_t manager_bytes; /* 0: there is none */
static int64_t alive_ms;
static char manager_path[sizeof manager.sun_path], alive_usec[24]; /* as they came */

/* WATCHDOG_USEC counts for us unless WATCHDOG_PID names another. */
static void read_watchdog(void)
{
    const char *usec = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
    if (usec && (!pid || strtol(pid, NULL, 10) == (long)getpid()))
        alive_ms = strtoll(usec, NULL, 10) / 1000 / 2;
    if (alive_ms > 0)
        snprintf(alive_usec, sizeof alive_usec, "%s", usec);
    else
        alive_ms = 0;
    unsetenv("WATCHDOG_USEC");
    unsetenv("WATCHDOG_PID");
}

void notify_init(void)
{
    const char *path = getenv("NOTIFY_SOCKET");
    size_t bytes = path ? strlen(path) : 0;
    if (bytes > 1 && bytes < sizeof manager.sun_path && (*path == '/' || *path == '@')) {
        manager.sun_family = AF_UNIX;
        memcpy(manager.sun_path, path, bytes);
        memcpy(manager_path, path, bytes);
        if (*path == '@')
            manager.sun_path[0] = 0; /* the abstract namespace */
        manager_bytes = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + bytes + (*path == '/'));
    }
    unsetenv("NOTIFY_SOCKET");
    read_watchdog();
}

__attribute__((format(printf, 1, 2))) static void tell(const char *format, ...)
{
    char text[512];
    if (!manager_bytes)
        return;
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    va_list arguments;
    va_start(arguments, format);
    int bytes = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (bytes > 0)
        (void)!sendto(fd, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT, (struct sockaddr *)&manager, manager_bytes);
    close(fd);
}

void notify_ready(const char *status)
{
    tell("READY=1\nSTATUS=%s", status);
}

/* Type=notify-reload wants to know when it began. */
void notify_reloading(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    tell("RELOADING=1\nMONOTONIC_USEC=%lld", (long long)now.tv_sec * 1000000 + now.tv_nsec / 1000);
}

void notify_stopping(void)
{
    tell("STOPPING=1");
}

void notify_main(long pid)
{
    tell("MAINPID=%ld", pid);
}

int64_t notify_alive_ms(void)
{
    return manager_bytes ? alive_ms : 0;
}

void notify_alive(void)
{
    tell("WATCHDOG=1");
}

void notify_hand_down(void)
{
    if (*manager_path)
        setenv("NOTIFY_SOCKET", manager_path, 1);
    if (*alive_usec)
        setenv("WATCHDOG_USEC", alive_usec, 1);
}
