/* Operations on files: who asked, by slots that come back with their ends. */
#include <errno.h>

#include "base/must.h"
#include "net/engine.h"

void file_done(struct net *net, uint32_t index, uint32_t generation, int32_t result)
{
    struct file_op *op = &net->files[index];
    must(op->busy && op->generation == generation);
    struct net_event event = { .kind = NET_DONE, .user = op->user, .token = op->token, .result = result };
    op->busy = false;
    op->generation = (op->generation + 1) & GENERATION_MASK;
    op->next = net->file_free;
    net->file_free = index;
    net->file_count--;
    net_record(net, &event, 0, -1);
}

/* A slot for who asks, with which the engine does it; 0, or -ENOBUFS. */
static int file_ask(struct net *net, struct file_request *request, uint32_t user, double token)
{
    uint32_t index = net->file_free;
    if (index != NOBODY)
        net->file_free = net->files[index].next;
    else if (net->file_top < net->file_room)
        index = net->file_top++;
    else
        return -ENOBUFS;
    net->file_count++;
    struct file_op *op = &net->files[index];
    op->user = user;
    op->token = token;
    op->busy = true;
    request->slot = index;
    request->generation = op->generation;
    net->engine->file(net, request);
    return 0;
}

int net_read(struct net *net, int fd, char *buffer, uint32_t bytes, uint64_t offset, uint32_t user, double token)
{
    struct file_request request = { .kind = FILE_READ, .fd = fd, .buffer = buffer, .bytes = bytes, .offset = offset };
    return file_ask(net, &request, user, token);
}

int net_write(struct net *net, int fd, const char *buffer, uint32_t bytes, uint64_t offset, uint32_t user, double token)
{
    struct file_request request = { .kind = FILE_WRITE, .fd = fd, .buffer = (char *)buffer, .bytes = bytes, .offset = offset };
    return file_ask(net, &request, user, token);
}

int net_open(struct net *net, int folder, const char *path, uint64_t flags, uint64_t resolve, uint32_t user, double token)
{
    struct file_request request = { .kind = FILE_OPEN, .fd = folder, .path = path, .flags = flags, .resolve = resolve };
    return file_ask(net, &request, user, token);
}
