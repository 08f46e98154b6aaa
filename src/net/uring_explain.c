/* The ways in which a machine says no to io_uring, each with its cure. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

#include "net/uring.h"

static int read_number(const char *path)
{
    FILE *f = fopen(path, "re");
    int value = -1;
    if (!f)
        return -1;
    if (fscanf(f, "%d", &value) != 1)
        value = -1;
    fclose(f);
    return value;
}

void uring_explain(int error, char *message, uint32_t bytes)
{
    int disabled = read_number("/proc/sys/kernel/io_uring_disabled");
    struct utsname machine;
    uname(&machine);
    if ((error == EPERM || error == EACCES) && disabled > 0)
        snprintf(message, bytes,
                 "io_uring is switched off on this machine (kernel.io_uring_disabled = %d); "
                 "switch it on with: sysctl -w kernel.io_uring_disabled=0",
                 disabled);
    else if (error == EPERM || error == EACCES)
        snprintf(message, bytes,
                 "io_uring is refused to this process, most likely by a container's seccomp profile; run the container with a "
                 "profile that allows io_uring_setup, io_uring_enter and io_uring_register, or with: --security-opt seccomp=unconfined");
    else if (error == ENOSYS)
        snprintf(message, bytes,
                 "io_uring is not there: this kernel (%s) was built without it or is older than 6.1, or a seccomp profile hides it; "
                 "use a kernel from 6.1 on, or allow io_uring_setup, io_uring_enter and io_uring_register",
                 machine.release);
    else if (error == ENOMEM)
        snprintf(message, bytes,
                 "io_uring: not enough memory for the ring; raise the memory limit of the container, or the locked-memory limit with: ulimit -l unlimited");
    else if (error == EINVAL)
        snprintf(message, bytes, "io_uring of this kernel (%s) lacks what Moongate needs; use a kernel from 6.1 on", machine.release);
    else
        snprintf(message, bytes, "io_uring: %s", strerror(error));
}
