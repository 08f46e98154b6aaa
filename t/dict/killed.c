/* What becomes of a dictionary when those who write to it are killed.
 *   killed load KILLS     workers that do everything at once, killed at random by SIGKILL, again and again; then all of it is looked at
 *   killed steps          one worker, one instruction at a time: after each the memory is copied, as if it had been killed there, and looked at
 * Prints name=number lines; exit code 1 with a line on standard error when something is not whole. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "dict/inner.h"

enum { WORKERS = 4, KEYS = 400, VALUE_MAX = 3000, SMALL = 65536, CHANGES = 10, OWNER_DIED = 0x40000000 };

static uint64_t state;

static uint32_t chance(uint32_t below)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)(state >> 20) % below;
}

static double clock_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1000 + (double)now.tv_nsec / 1e6;
}

static void fail(const char *what, int number)
{
    fprintf(stderr, "killed: %s: %d\n", what, number);
    exit(1);
}

/* ---- values that show whether they are whole ---- */

static uint32_t fill(char *to, uint32_t bytes)
{
    memset(to, 'a' + (int)(bytes % 26), bytes);
    return bytes;
}

static int is_whole(const char *text, uint32_t bytes)
{
    for (uint32_t i = 0; i < bytes; i++)
        if (text[i] != 'a' + (int)(bytes % 26))
            return 0;
    return 1;
}

static struct dict_key key_of(char *room, const char *kind, uint32_t number)
{
    return (struct dict_key){ room, (uint32_t)sprintf(room, "%s:%u", kind, number) };
}

static void read_back(struct dict *dict, struct dict_key key, double now)
{
    static char text[VALUE_MAX];
    struct dict_value value;
    if (dict_get(dict, key, now, &value, text, sizeof text) == 0 && value.kind == DICT_TEXT && !is_whole(text, value.bytes))
        fail("a value is not whole", (int)value.bytes);
}

/* ---- under load ---- */

static void step(struct dict *dict, double now)
{
    static char text[VALUE_MAX], room[32];
    struct dict_value value = { .kind = DICT_TEXT };
    struct dict_verdict verdict;
    double number;
    uint32_t what = chance(10), which = chance(KEYS);
    struct dict_key key = key_of(room, what < 5 ? "value" : what < 8 ? "list" : "count", which);
    value.bytes = fill(text, chance(chance(8) == 0 ? VALUE_MAX : 200));
    value.ttl_ms = chance(4) == 0 ? 1 + chance(20) : 0;
    if (what < 2)
        dict_set(dict, key, now, &value, text, DICT_ALWAYS, 1);
    else if (what < 4)
        read_back(dict, key, now);
    else if (what == 4)
        dict_delete(dict, key, now, NULL);
    else if (what < 7)
        dict_push(dict, key, now, (enum dict_end)chance(2), &value, text);
    else if (what == 7)
        dict_pop(dict, key, now, (enum dict_end)chance(2), &value, text, sizeof text);
    else if (what == 8)
        dict_incr(dict, key, now, 1, 1, 0, value.ttl_ms, &number);
    else
        dict_bucket(dict, key_of(room, "bucket", which), now, 0.01, 10, 1, &verdict);
    if (chance(200000) == 0)
        dict_flush(dict);
}

static pid_t begin_worker(int fd, uint64_t seed)
{
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    struct dict_area *area = dict_area_open(fd);
    struct dict *dict = area ? dict_area_at(area, 0) : NULL;
    state = seed;
    while (dict)
        step(dict, clock_now());
    _exit(1);
}

static void load(uint32_t most)
{
    struct dict *dict;
    int fd = dict_area_make(), status;
    struct dict_area *area = dict_area_open(fd);
    if (!area || dict_area_store(area, (struct dict_key){ "load", 4 }, 256 << 10, &dict) < 0)
        fail("no store", errno);
    pid_t workers[WORKERS];
    uint32_t kills = 0, looked = 0;
    for (uint32_t i = 0; i < WORKERS; i++)
        workers[i] = begin_worker(fd, 88172645463325252ull + i);
    while (kills < most) {
        uint32_t which = chance(WORKERS);
        usleep(chance(1500));
        kill(workers[which], SIGKILL);
        waitpid(workers[which], &status, 0);
        if (WIFEXITED(status))
            fail("a worker ended by itself", WEXITSTATUS(status));
        workers[which] = begin_worker(fd, 88172645463325252ull + 7919 * ++kills);
        if (kills % 50 == 0 && ++looked && dict_verify(dict))
            fail("not whole, verify.c line", dict_verify(dict));
    }
    for (uint32_t i = 0; i < WORKERS; i++) {
        kill(workers[i], SIGKILL);
        waitpid(workers[i], &status, 0);
    }
    struct dict_counts counts;
    int fault = dict_verify(dict);
    if (fault)
        fail("not whole at the end, verify.c line", fault);
    dict_count(dict, &counts);
    dict_area_close(area);
    close(fd);
    printf("kills=%u\nlooked=%u\nrepaired=%.0f\nentries=%.0f\nevicted=%.0f\nexpired=%.0f\nsets=%.0f\n", kills, looked, counts.repaired, counts.entries,
           counts.evicted, counts.expired, counts.sets);
}

/* ---- one instruction at a time ---- */

static const struct dict_key SUBJECT = { "subject", 7 };
enum { OLD = 1000, NEW = 1700 };

static void set_subject(struct dict *dict, uint32_t bytes)
{
    static char text[VALUE_MAX];
    struct dict_value value = { .kind = DICT_TEXT, .bytes = fill(text, bytes) };
    if (dict_set(dict, SUBJECT, 1, &value, text, DICT_ALWAYS, 1) < 0)
        fail("set", 0);
}

static void push_subject(struct dict *dict)
{
    static char text[300];
    struct dict_value value = { .kind = DICT_TEXT, .bytes = fill(text, sizeof text) };
    dict_push(dict, SUBJECT, 1, DICT_FIRST, &value, text);
}

static void prepare(struct dict *dict, int what)
{
    char room[32];
    double number;
    for (uint32_t i = 0; i < (what == 2 ? 800 : 20); i++) /* 800: it is full */
        dict_incr(dict, key_of(room, "other", i), 1, 1, 1, 0, 0, &number);
    if (what == 1 || what == 3 || what == 7)
        set_subject(dict, OLD);
    for (uint32_t i = 0; i < (what >= 4 && what < 7 ? 3 : what == 8); i++)
        push_subject(dict);
}

static void change(struct dict *dict, int what)
{
    static char text[VALUE_MAX];
    struct dict_value value;
    struct dict_verdict verdict;
    if (what < 3)
        set_subject(dict, NEW);
    else if (what == 3 || what == 6)
        dict_delete(dict, SUBJECT, 1, NULL);
    else if (what == 4)
        push_subject(dict);
    else if (what == 5 || what == 8)
        dict_pop(dict, SUBJECT, 1, DICT_LAST, &value, text, sizeof text);
    else if (what == 7)
        dict_expire(dict, SUBJECT, 1, 5);
    else
        dict_bucket(dict, SUBJECT, 1, 0.001, 10, 1, &verdict);
}

/* What others may find, by what is being done: the state before it or the one behind it. */
static int is_sound(struct dict *dict, int what)
{
    static char text[VALUE_MAX];
    struct dict_value value = { 0 };
    int found = dict_get(dict, SUBJECT, 2, &value, text, sizeof text);
    switch (what) {
    case 0: case 2: return found == -ENOENT || (value.bytes == NEW && is_whole(text, NEW));
    case 1: return found == 0 && (value.bytes == NEW || value.bytes == OLD) && is_whole(text, value.bytes);
    case 3: return found == -ENOENT || (value.bytes == OLD && is_whole(text, OLD));
    case 4: return found == 0 && (value.bytes == 3 || value.bytes == 4);
    case 5: return found == 0 && (value.bytes == 2 || value.bytes == 3);
    case 6: return found == -ENOENT || value.bytes == 3;
    case 8: return found == -ENOENT || (value.kind == DICT_LIST && value.bytes == 1);
    case 9: return found == -ENOENT || (value.kind == DICT_BUCKET && value.ttl_ms > 0);
    default: return found == 0 && value.bytes == OLD && (value.ttl_ms == 0 || value.ttl_ms == 4);
    }
}

/* A copy whose writer is gone, as the kernel would say it. */
static int look_at(const struct dict *dict, struct dict *copy, int what, uint64_t *ret_repaired)
{
    memcpy(copy, dict, SMALL);
    struct shard *shard = shard_at(copy, 0);
    int *lock = &shard->lock.__data.__lock;
    if (*lock)
        *lock = OWNER_DIED;
    *ret_repaired += *lock && shard->noted > 0;
    shard->lock.__data.__list.__prev = shard->lock.__data.__list.__next = NULL;
    int fault = dict_verify(copy);
    return fault ? fault : is_sound(copy, what) ? 0 : -what - 1;
}

static void steps(int what, struct dict *copy)
{
    struct dict *dict;
    uint64_t count = 0, repaired = 0;
    int fd = dict_area_make(), status;
    struct dict_area *area = dict_area_open(fd);
    if (!area || dict_area_store(area, (struct dict_key){ "steps", 5 }, SMALL, &dict) < 0)
        fail("no store", errno);
    prepare(dict, what);
    pid_t pid = fork();
    if (pid == 0) {
        ptrace(PTRACE_TRACEME, 0, NULL, NULL);
        raise(SIGSTOP);
        change(dict, what);
        _exit(0);
    }
    for (waitpid(pid, &status, 0); WIFSTOPPED(status); waitpid(pid, &status, 0), count++) {
        int fault = look_at(dict, copy, what, &repaired);
        if (fault) {
            kill(pid, SIGKILL);
            fail("not whole: verify.c line, or change", fault);
        }
        if (ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL) < 0)
            fail("ptrace", errno);
    }
    printf("steps%d=%llu\nrepaired%d=%llu\n", what, (unsigned long long)count, what, (unsigned long long)repaired);
    dict_area_close(area);
    close(fd);
}

int main(int count, char **words)
{
    state = 88172645463325252ull;
    if (count == 3 && strcmp(words[1], "load") == 0) {
        load((uint32_t)atoi(words[2]));
        return 0;
    }
    struct dict *copy = mmap(NULL, SMALL, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (int what = 0; what < CHANGES; what++)
        steps(what, copy);
    return 0;
}
