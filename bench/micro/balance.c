/* Instructions per choice of a server, for each balance and 2 to 64 servers. Needs valgrind. Run from the top of the tree:
 *   cc -O2 -g -std=gnu11 -D_GNU_SOURCE -Isrc -o /tmp/bench-balance bench/micro/balance.c src/proxy/balance.c src/base/must.c && /tmp/bench-balance
 * Without arguments it runs itself under callgrind, once per cell, and prints the table; then the time that filling the table of keys takes.
 * `bench-balance KIND SERVERS` is one cell. */
#include "proxy/balance.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { PICKS = 1000 };

static const char *const kinds[] = { "p2c", "least", "round", "hash", "random" };
static const uint32_t sizes[] = { 2, 8, 64 };

static struct balance balance;
static struct balance_load loads[BALANCE_SEATS_MAX];

static void prepare(int kind, uint32_t servers)
{
    balance.kind = (uint8_t)kind;
    balance.chance = 42;
    for (uint32_t i = 0; i < servers; i++) {
        char name[32];
        int bytes = snprintf(name, sizeof name, "10.0.0.%u:80", i);
        loads[i] = (struct balance_load){ .in_flight = i % 5, .latency_ms = 2, .latency_at_ms = 1 };
        balance.seats[i] = (struct balance_seat){ .load = &loads[i], .name = balance_hash(name, (uint32_t)bytes), .weight = (1 + i % 3) * BALANCE_SCALE };
        balance.usable |= UINT64_C(1) << i;
    }
    balance.healthy = balance.spare = balance.usable;
    balance_prepare(&balance);
}

/* callgrind counts in here alone. */
__attribute__((noinline)) static uint64_t measured(void)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < PICKS; i++)
        sum += (uint64_t)balance_pick(&balance, 0, balance.kind == BALANCE_HASH ? i * UINT64_C(0x9e3779b97f4a7c15) + 1 : 0, 5);
    return sum;
}

static int cell(const char *kind, uint32_t servers)
{
    for (int i = 0; i < 5; i++)
        if (strcmp(kinds[i], kind) == 0)
            prepare(i, servers);
    if (balance.kind == BALANCE_HASH && balance_place(&balance))
        return 1;
    return measured() == 0 && servers > 64;
}

static void table(const char *self)
{
    char command[512], line[256];
    printf("%-8s", "servers");
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
        printf(" %8u", sizes[s]);
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        printf("\n%-8s", kinds[k]);
        for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
            snprintf(command, sizeof command, "valgrind --tool=callgrind --callgrind-out-file=/dev/null --toggle-collect=measured %s %s %u 2>&1", self,
                     kinds[k], sizes[s]);
            FILE *out = popen(command, "r");
            double count = 0;
            while (out && fgets(line, sizeof line, out))
                if (strstr(line, "Collected"))
                    count = atof(strrchr(line, ' '));
            if (out)
                pclose(out);
            printf(" %8.1f", count / PICKS);
            fflush(stdout);
        }
    }
    printf("\n");
}

int main(int argc, char **argv)
{
    if (argc == 3)
        return cell(argv[1], (uint32_t)atoi(argv[2]));
    if (argc == 1)
        table(argv[0]);
    prepare(BALANCE_HASH, 64);
    struct timespec from, to;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &from);
    for (int i = 0; i < 10; i++)
        if (balance_place(&balance))
            return 1;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &to);
    printf("filling the table of keys for 64 servers: %.2f ms\n", ((double)(to.tv_sec - from.tv_sec) * 1e9 + (double)(to.tv_nsec - from.tv_nsec)) / 1e7);
    return 0;
}
