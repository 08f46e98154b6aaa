/* One message to a worker. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "proc/instance.h"

enum { ROOM_MS = 100 }; /* for a worker to take some of what waits for it, before it counts as deaf */

void worker_tell(const struct worker *worker, enum control_kind kind, double argument, const char *text, int fd)
{
    struct control_message message = { .kind = kind, .argument = argument };
    message.text_bytes = (uint32_t)snprintf(message.text, sizeof message.text, "%s", text);
    if (message.text_bytes >= sizeof message.text)
        message.text_bytes = sizeof message.text - 1;
    struct iovec piece = { &message, sizeof message };
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr aligned;
    } rights = { { 0 } };
    struct msghdr header = { .msg_iov = &piece, .msg_iovlen = 1 };
    if (worker->control < 0)
        return;
    if (fd >= 0) {
        header.msg_control = rights.bytes;
        header.msg_controllen = sizeof rights.bytes;
        struct cmsghdr *part = CMSG_FIRSTHDR(&header);
        *part = (struct cmsghdr){ .cmsg_len = CMSG_LEN(sizeof fd), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS };
        memcpy(CMSG_DATA(part), &fd, sizeof fd);
    }
    if (sendmsg(worker->control, &header, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0 || errno != EAGAIN)
        return;
    struct pollfd room = { worker->control, POLLOUT, 0 };
    if (poll(&room, 1, ROOM_MS) == 1)
        sendmsg(worker->control, &header, MSG_DONTWAIT | MSG_NOSIGNAL);
}
