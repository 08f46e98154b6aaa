/* Instructions per parsed request head, by shape, alone and 16 pipelined. Build and run:
 *
 *   cc -O2 -std=gnu11 -D_GNU_SOURCE -Isrc -o /tmp/head_bench bench/micro/head.c src/http/head*.c src/http/url.c src/base/must.c
 *   /tmp/head_bench                      nanoseconds and requests per second of every shape and implementation
 *   valgrind --tool=callgrind --callgrind-out-file=/dev/null --toggle-collect=measured /tmp/head_bench browser 16 3
 *
 * The second form prints the instructions of 16,000 requests (arguments: shape, pipelined 1 or 16, implementation 1
 * scalar, 2 SSE2, 3 AVX2): divide "Collected" by that. bench/micro/head.sh does it for all. About 30 of them are the
 * loop around the parser. */
#include "http/head.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct shape {
    const char *name, *text;
};

static const struct shape shapes[] = {
    { "minimal", "GET / HTTP/1.1\r\nHost: a\r\n\r\n" },
    { "short", "GET /health HTTP/1.1\r\nHost: 10.0.0.1\r\n\r\n" },
    { "wrk", "GET /hello HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nUser-Agent: wrk/4.1.0-3+b2\r\nAccept: */*\r\n\r\n" },
    { "techempower",
      "GET /plaintext HTTP/1.1\r\nHost: tfb-server:8080\r\n"
      "User-Agent: Mozilla/5.0 (X11; Linux x86_64) Gecko/20130501 Firefox/30.0 AppleWebKit/600.00 Chrome/30.0.0000.0\r\n"
      "Cookie: uid=12345678901234567890; __utma=1.1234567890.1234567890.1234567890.1234567890.12; wd=2560x1600\r\n"
      "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n"
      "Accept-Language: en-US,en;q=0.5\r\nConnection: keep-alive\r\n\r\n" },
    { "browser",
      "GET /articles/2026/moon?page=2&sort=new HTTP/1.1\r\nHost: www.example.com\r\nConnection: keep-alive\r\n"
      "User-Agent: Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) "
      "Chrome/131.0.0.0 Safari/537.36\r\n"
      "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\n"
      "Referer: https://www.example.com/articles/\r\nAccept-Encoding: gzip, deflate, br, zstd\r\n"
      "Accept-Language: de-DE,de;q=0.9,en-US;q=0.8,en;q=0.7\r\nUpgrade-Insecure-Requests: 1\r\n"
      "If-None-Match: W/\"5f3a-18c2b7e9d40\"\r\n"
      "Cookie: session=0f9e8d7c6b5a49382716051423324150; theme=dark; _ga=GA1.2.1234567890.1700000000; consent=yes\r\n\r\n" },
};

/* Apart and never inlined: callgrind counts inside it alone. */
__attribute__((noinline)) int measured(struct http_scan *scan, int rounds, struct http_head *head);

__attribute__((noinline)) int measured(struct http_scan *scan, int rounds, struct http_head *head)
{
    static const struct http_head_limits limits = { 8192, 16384, 100 };
    const char *reason = "", *base = scan->base;
    uint32_t count = scan->bytes;
    for (int i = 0; i < rounds; i++) {
        http_scan_begin(scan, base, count);
        for (uint32_t at = 0; at < count;) {
            struct http_head_progress progress = { 0 };
            int bytes = http_request_parse(scan, at, &limits, &progress, head, &reason);
            if (bytes <= 0) {
                fprintf(stderr, "refused: %d %s\n", bytes, reason);
                return 0;
            }
            at += (uint32_t)bytes;
        }
    }
    return 1;
}

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* Parses `rounds` times a buffer of `depth` copies of the shape, `tries` times; the seconds of the fastest, or -1. */
static double run(const struct shape *shape, int depth, int rounds, int tries)
{
    static struct http_head head;
    size_t bytes = strlen(shape->text);
    char *buffer = calloc(1, bytes * (size_t)depth + 64);
    if (buffer == NULL)
        return -1;
    for (int i = 0; i < depth; i++)
        memcpy(buffer + bytes * (size_t)i, shape->text, bytes);
    struct http_scan scan = { .base = buffer, .bytes = (uint32_t)(bytes * (size_t)depth) };
    double best = -1;
    for (int i = 0; i < tries; i++) {
        double from = seconds();
        int good = measured(&scan, rounds, &head);
        double took = good ? seconds() - from : -1;
        if (i == 0 || took < best)
            best = took;
    }
    free(buffer);
    return best;
}

int main(int argc, char **argv)
{
    static const char *const names[] = { "chosen", "scalar", "sse2", "avx2" };
    const int count = (int)(sizeof shapes / sizeof *shapes);
    if (argc == 4) {
        int depth = atoi(argv[2]) > 1 ? 16 : 1;
        http_head_select(atoi(argv[3]));
        for (int i = 0; i < count; i++) {
            if (strcmp(argv[1], shapes[i].name) == 0)
                return run(&shapes[i], depth, 16000 / depth, 1) < 0;
        }
        fprintf(stderr, "no such shape: %s\n", argv[1]);
        return 1;
    }
    for (int force = 0; force <= 3; force++) {
        if (http_head_select(force) != force && force != 0)
            continue;
        for (int i = 0; i < count; i++) {
            for (int depth = 1; depth <= 16; depth += 15) {
                int rounds = 160000 / depth;
                double took = run(&shapes[i], depth, rounds, 20);
                if (took < 0)
                    return 1;
                printf("%-6s %-12s %3zu bytes  x%-2d  %7.1f ns/request\n", names[force], shapes[i].name,
                       strlen(shapes[i].text), depth, took * 1e9 / (rounds * (double)depth));
            }
        }
    }
    return 0;
}
