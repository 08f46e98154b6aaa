/* Gathers, by trying, what Lua cannot: the ring's features, the runtime folder, limits. As JSON it goes to the Lua side of the command,
 * which reads the rest from /proc and says what it means. Starts nothing. */
#include "proc/doctor.h"

#include <brotli/encode.h>
#include <errno.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/utsname.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include "net/net.h"
#include "net/probe.h"
#include "proc/descriptors.h"
#include "proc/listen.h"
#include "proc/master.h"
#include "proc/names.h"
#include "proc/text.h"

static void put_string(struct text *text, const char *key, const char *value)
{
    text_json(text, key);
    text_put(text, ":");
    text_json(text, value);
}

static void put_ring(struct text *text)
{
    struct probe_item items[PROBE_ITEMS_MAX];
    char message[512] = "";
    int count = net_probe(items, message, sizeof message);
    text_put(text, "\"ring\":{\"opens\":%s,", count >= 0 ? "true" : "false");
    put_string(text, "message", message);
    text_put(text, ",\"features\":[");
    for (int i = 0; i < count; i++) {
        text_put(text, "%s{", i ? "," : "");
        put_string(text, "name", items[i].name);
        text_put(text, ",");
        put_string(text, "use", items[i].use);
        text_put(text, ",\"works\":%s,\"needed\":%s,", items[i].result == 0 ? "true" : "false", items[i].is_needed ? "true" : "false");
        put_string(text, "error", items[i].result == 0 ? "" : strerror(-items[i].result));
        text_put(text, "}");
    }
    text_put(text, "]}");
}

/* What a worker would run on, when nothing but the environment says so. */
static void put_engine(struct text *text)
{
    struct net_options small = { .connections = 8, .buffer_bytes = 65536 };
    char message[512] = "";
    const char *asked = getenv("MOONGATE_ENGINE");
    struct net *net = net_new(&small, message, sizeof message);
    text_put(text, "\"engine\":{");
    put_string(text, "chosen", net ? net_engine_name(net_engine(net)) : "");
    text_put(text, ",");
    put_string(text, "asked", asked ? asked : "");
    text_put(text, ",");
    put_string(text, "message", message);
    text_put(text, "}");
    net_free(net);
}

/* Whether a socket can be made there is found out by making a file. */
static void put_folder(struct text *text)
{
    char folder[NAMES_FOLDER_BYTES] = "", problem[NAMES_PROBLEM_BYTES] = "";
    bool is_there = names_folder(folder, problem);
    if (is_there) {
        char probe[NAMES_FOLDER_BYTES + 16];
        snprintf(probe, sizeof probe, "%s/.probe-XXXXXX", folder);
        int fd = mkstemp(probe);
        if (fd < 0)
            snprintf(problem, sizeof problem, "%s: %s", folder, strerror(errno));
        else {
            unlink(probe);
            close(fd);
        }
    }
    text_put(text, "\"runtime\":{");
    put_string(text, "folder", folder);
    text_put(text, ",");
    put_string(text, "problem", problem);
    text_put(text, "}");
}

/* 1 when the loopback interface is up, 0 when it is not; -1: cannot be told. */
static int loopback_is_up(void)
{
    struct ifreq request = { .ifr_name = "lo" };
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), failed = fd < 0 ? -1 : ioctl(fd, SIOCGIFFLAGS, &request);
    if (fd >= 0)
        close(fd);
    return failed < 0 ? -1 : (request.ifr_flags & IFF_UP) != 0;
}

static double limit_of(rlim_t value)
{
    return value == RLIM_INFINITY ? -1 : (double)value;
}

static void put_limits(struct text *text)
{
    struct rlimit files = { 0 }, memory = { 0 };
    cpu_set_t allowed;
    CPU_ZERO(&allowed);
    sched_getaffinity(0, sizeof allowed, &allowed);
    getrlimit(RLIMIT_NOFILE, &files);
    getrlimit(RLIMIT_MEMLOCK, &memory);
    int watcher = inotify_init1(IN_CLOEXEC), failed = watcher < 0 ? errno : 0;
    if (watcher >= 0) {
        if (inotify_add_watch(watcher, "/", IN_CREATE) < 0)
            failed = errno;
        close(watcher);
    }
    text_put(text, "\"limits\":{\"descriptors\":%.0f,\"descriptors_most\":%.0f,\"descriptors_least\":%d,\"memlock\":%.0f,\"cpus\":%d,\"cpus_online\":%ld,",
             limit_of(files.rlim_cur), limit_of(files.rlim_max), (int)master_room_needed(1, 1), limit_of(memory.rlim_cur), CPU_COUNT(&allowed),
             sysconf(_SC_NPROCESSORS_ONLN));
    text_put(text, "\"backlog\":%d,\"loopback\":%d,", LISTEN_BACKLOG, loopback_is_up());
    put_string(text, "inotify", failed ? strerror(failed) : "");
    text_put(text, "}");
}

static void put_versions(struct text *text)
{
    struct utsname system = { 0 };
    char kernel[200], self[512];
    uname(&system);
    snprintf(kernel, sizeof kernel, "%.60s %.60s %.60s", system.sysname, system.release, system.machine);
    ssize_t bytes = readlink("/proc/self/exe", self, sizeof self - 1);
    self[bytes > 0 ? bytes : 0] = 0;
    text_put(text, "\"uid\":%u,", (unsigned)geteuid());
    put_string(text, "program", self);
    text_put(text, ",\"versions\":{");
    put_string(text, "moongate", MG_VERSION);
    text_put(text, ",");
    put_string(text, "kernel", kernel);
    text_put(text, ",");
    put_string(text, "lua", vm_version());
    text_put(text, ",");
    put_string(text, "liburing", MG_URING_VERSION);
    text_put(text, ",");
    put_string(text, "zlib", zlibVersion());
    text_put(text, ",");
    put_string(text, "zstd", ZSTD_versionString());
    uint32_t brotli = BrotliEncoderVersion();
    text_put(text, ",\"brotli\":\"%u.%u.%u\"", brotli >> 24, brotli >> 12 & 0xfff, brotli & 0xfff);
    text_put(text, "}");
}

int doctor_run(const struct options *options)
{
    struct text text = { 0 };
    text_put(&text, "{");
    put_versions(&text);
    text_put(&text, ",");
    put_limits(&text);
    text_put(&text, ",");
    put_folder(&text);
    text_put(&text, ",");
    put_ring(&text);
    text_put(&text, ",");
    put_engine(&text);
    text_put(&text, "}");
    int code = EXIT_SYSTEM;
    if (text.lost) {
        fprintf(stderr, "moongate: doctor: not enough memory\n");
    } else {
        struct vm_options vm = options->vm;
        vm.answer = text.at;
        code = vm_command(&vm);
    }
    text_fini(&text);
    return code;
}
