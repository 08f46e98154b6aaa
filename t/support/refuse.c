/* Runs a command to which the kernel refuses io_uring, as a container's seccomp profile does:
 *
 *   refuse EPERM|ENOSYS|ENOMEM|EINVAL|number COMMAND [WORD…]
 *
 * io_uring_setup, io_uring_enter and io_uring_register give that error, to the command and to all that it starts (seccomp(2)). */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

enum { FIRST_CALL = 425, LAST_CALL = 427 }; /* io_uring_setup … io_uring_register, the same on every architecture */

static unsigned error_number(const char *name)
{
    static const struct {
        const char *name;
        unsigned number;
    } known[] = { { "EPERM", EPERM }, { "ENOSYS", ENOSYS }, { "ENOMEM", ENOMEM }, { "EINVAL", EINVAL } };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(name, known[i].name) == 0)
            return known[i].number;
    return (unsigned)atoi(name);
}

int main(int argc, char **argv)
{
    unsigned error = argc > 2 ? error_number(argv[1]) : 0;
    if (error == 0) {
        fprintf(stderr, "usage: refuse EPERM|ENOSYS|ENOMEM|EINVAL|number COMMAND [WORD...]\n");
        return 2;
    }
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, FIRST_CALL, 0, 2),
        BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, LAST_CALL, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = { .len = sizeof filter / sizeof *filter, .filter = filter };
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) {
        fprintf(stderr, "refuse: seccomp: %s\n", strerror(errno));
        return 2;
    }
    execvp(argv[2], argv + 2);
    fprintf(stderr, "refuse: %s: %s\n", argv[2], strerror(errno));
    return 127;
}
