/* Arguments → a command: the only place where the rooms are put together. */
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "abi/vm.h"
#include "proc/candidate.h"
#include "proc/client.h"
#include "proc/descriptors.h"
#include "proc/doctor.h"
#include "proc/inherit.h"
#include "proc/master.h"
#include "proc/notify.h"
#include "proc/options.h"
#include "proc/signals.h"
#include "proc/title.h"
#include "proc/top.h"
#include "proc/upgrade.h"

static int print_version(void)
{
    struct utsname system;
    if (uname(&system) < 0)
        return EXIT_SYSTEM;
#ifdef __clang__
    const char *compiler = "clang " __clang_version__;
#else
    const char *compiler = "gcc " __VERSION__;
#endif
    printf("moongate %s\nlua      %s\nliburing %s\nkernel   %s %s %s\ncompiler %s\n", MG_VERSION, vm_version(), MG_URING_VERSION,
           system.sysname, system.release, system.machine, compiler);
    return EXIT_OK;
}

static int print_help(const char *about)
{
    if (!about) {
        help_overview();
        return EXIT_OK;
    }
    if (strcmp(about, "exit-codes") == 0) {
        help_exit_codes();
        return EXIT_OK;
    }
    enum command command = command_find(about);
    if (command != COMMAND_COUNT) {
        help_command(command);
        return EXIT_OK;
    }
    const char *near = suggest_command(about);
    fprintf(stderr, "moongate help: nothing about \"%s\"", about);
    if (near)
        fprintf(stderr, ": did you mean \"%s\"?", near);
    fprintf(stderr, "\nsee: moongate help\n");
    return EXIT_USAGE;
}

/* Commands that evaluate a config and print something about it. */
static int run_vm_command(const struct options *options)
{
    int signals = signals_open();
    if (signals < 0) {
        fprintf(stderr, "moongate: %s\n", strerror(-signals));
        return EXIT_SYSTEM;
    }
    int code = candidate_command(options, signals);
    close(signals);
    return code;
}

static int run_master(const struct options *options)
{
    struct inheritance inherited;
    notify_init();
    inherit_init(&inherited);
    return master_run(options, &inherited);
}

static int run(const struct options *options)
{
    switch (options->command) {
    case COMMAND_RUN:
    case COMMAND_SERVE:
    case COMMAND_PROXY:
        return run_master(options);
    case COMMAND_CHECK:
    case COMMAND_ROUTES:
        return run_vm_command(options);
    case COMMAND_EXPLAIN:
        return options->vm.file ? run_vm_command(options) : client_run(options);
    case COMMAND_STOP:
    case COMMAND_RELOAD:
    case COMMAND_UPGRADE:
    case COMMAND_STATUS:
    case COMMAND_GENERATIONS:
    case COMMAND_JIT:
    case COMMAND_UPSTREAM:
        return client_run(options);
    case COMMAND_TOP:
        return top_run(options);
    case COMMAND_DOCTOR:
        return doctor_run(options);
    case COMMAND_VERSION:
        return print_version();
    case COMMAND_HELP:
        return print_help(options->vm.argument_count ? options->words[0] : NULL);
    case COMMAND_COUNT:
        break;
    }
    return EXIT_USAGE;
}

int main(int argc, char **argv)
{
    struct options options;
    descriptors_open_standard();
    argv = title_init(argc, argv);
    upgrade_remember(argv);
    int code = options_parse(argc, argv, &options);
    return code < 0 ? run(&options) : code;
}
