/* Parses the command line: long options (--listen ADDR, --listen=ADDR), short ones (-w 4, -w4, -dw4), `--`, words in between. */
#include "proc/options.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "net/net.h"
#include "proc/address.h"

enum option_id {
#define OPTION(id, name, letter, argument, commands, prose) OPTION_##id,
#include "proc/options.tbl.h"
#undef OPTION
    OPTION_COUNT,
};

#define FOR(id) (1u << COMMAND_##id)

static const struct option_info {
    const char *name, *argument;
    uint32_t commands;
    char letter;
} infos[] = {
#define OPTION(id, name, letter, argument, commands, prose) { name, argument, commands, letter },
#include "proc/options.tbl.h"
#undef OPTION
};

static const struct {
    int least, most;
} words_allowed[] = {
#define COMMAND(id, name, words, least, most, summary) { least, most },
#include "proc/options.tbl.h"
#undef COMMAND
};

struct parser {
    struct options *options;
    char **rest;      /* words not yet read */
    uint32_t given;   /* bit per option id */
};

enum { GO_ON = -1 };

static int wrong(const struct parser *parser, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Says what is wrong with the command line and how to learn more. */
static int wrong(const struct parser *parser, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "moongate %s: ", command_name(parser->options->command));
    vfprintf(stderr, format, arguments);
    fprintf(stderr, "\nsee: moongate %s --help\n", command_name(parser->options->command));
    va_end(arguments);
    return EXIT_USAGE;
}

/* A whole number in decimal digits; false: it is not one, or not within the bounds. */
static bool read_number(const char *text, long least, long most, long *ret_number)
{
    char *end;
    if (*text < '0' || *text > '9')
        return false;
    long number = strtol(text, &end, 10);
    if (*end || number < least || number > most)
        return false;
    *ret_number = number;
    return true;
}

static int take_listen(struct parser *parser, const char *value)
{
    struct vm_options *vm = &parser->options->vm;
    struct address address;
    const char *why = address_parse(value, &address);
    if (why)
        return wrong(parser, "--listen \"%s\": %s", value, why);
    if (vm->listen_count == OPTIONS_LISTEN_MAX)
        return wrong(parser, "--listen: at most %d addresses", OPTIONS_LISTEN_MAX);
    parser->options->listen[vm->listen_count++] = value;
    return GO_ON;
}

static int take_workers(struct parser *parser, const char *value)
{
    long number = 0;
    if (strcmp(value, "auto") != 0 && !read_number(value, 1, OPTIONS_WORKERS_MAX, &number))
        return wrong(parser, "--workers: expected \"auto\" or a number from 1 to %d, got \"%s\"", OPTIONS_WORKERS_MAX, value);
    parser->options->workers = (uint32_t)number;
    parser->options->vm.workers = value;
    return GO_ON;
}

static int take_engine(struct parser *parser, const char *value)
{
    if (strcmp(value, "auto") != 0 && net_engine_named(value) == ENGINE_AUTO)
        return wrong(parser, "--engine: expected auto, io_uring or epoll, got \"%s\"", value);
    parser->options->vm.engine = value;
    return GO_ON;
}

static int take_wait(struct parser *parser, const char *value)
{
    parser->options->wait_for_port_ms = WAIT_FOR_PORT_MS;
    if (!value)
        return GO_ON;
    char *end;
    double seconds = strtod(value, &end);
    if (end == value || (strcmp(end, "") != 0 && strcmp(end, "s") != 0) || !(seconds >= 0 && seconds <= 86400))
        return wrong(parser, "--wait-for-port: expected seconds such as 30, got \"%s\"", value);
    parser->options->wait_for_port_ms = (int64_t)(seconds * 1000);
    return GO_ON;
}

static int take_port(struct parser *parser, const char *value)
{
    long number;
    if (!read_number(value, 0, 65535, &number))
        return wrong(parser, "--port: expected a number from 0 to 65535, got \"%s\"", value);
    parser->options->port = value;
    return GO_ON;
}

static int take_name(struct parser *parser, const char *value)
{
    size_t bytes = strlen(value);
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    if (bytes == 0 || bytes > 64 || *value == '.' || *value == '-' || strspn(value, allowed) != bytes)
        return wrong(parser, "--name: expected up to 64 letters, digits, \".\", \"_\", \"-\", got \"%s\"", value);
    parser->options->vm.name = value;
    return GO_ON;
}

static int take_header(struct parser *parser, const char *value)
{
    struct vm_options *vm = &parser->options->vm;
    if (*value == ':' || !strchr(value, ':'))
        return wrong(parser, "--header: expected a field such as \"Host: example.org\", got \"%s\"", value);
    if (vm->field_count == OPTIONS_FIELDS_MAX)
        return wrong(parser, "--header: at most %d fields", OPTIONS_FIELDS_MAX);
    parser->options->fields[vm->field_count++] = value;
    return GO_ON;
}

static int take(struct parser *parser, enum option_id id, const char *value)
{
    struct options *options = parser->options;
    bool repeated = parser->given & 1u << id;
    parser->given |= 1u << id;
    if (repeated && id != OPTION_LISTEN && id != OPTION_HEADER && infos[id].argument)
        return wrong(parser, "--%s is given twice", infos[id].name);
    switch (id) {
    case OPTION_LISTEN:
        return take_listen(parser, value);
    case OPTION_WORKERS:
        return take_workers(parser, value);
    case OPTION_ENGINE:
        return take_engine(parser, value);
    case OPTION_NAME:
        return take_name(parser, value);
    case OPTION_WAIT:
        return take_wait(parser, value);
    case OPTION_PORT:
        return take_port(parser, value);
    case OPTION_ADDR:
        options->host = value;
        return GO_ON;
    case OPTION_ROOT:
        options->root = value;
        return GO_ON;
    case OPTION_HEADER:
        return take_header(parser, value);
    case OPTION_FILE:
        options->vm.file = value;
        return GO_ON;
    case OPTION_DEBUG:
        options->vm.debug = 1;
        return GO_ON;
    case OPTION_WATCH:
        options->vm.watch = 1;
        return GO_ON;
    case OPTION_ONCE:
        options->once = true;
        return GO_ON;
    case OPTION_JSON:
        options->vm.json = 1;
        return GO_ON;
    case OPTION_HELP:
    case OPTION_COUNT:
        break;
    }
    help_command(options->command);
    return EXIT_OK;
}

static bool belongs(const struct parser *parser, uint32_t id)
{
    return infos[id].commands & 1u << parser->options->command;
}

/* An option that this command does not have: of another command, mistyped, or unknown. */
static int refuse_option(const struct parser *parser, const char *name)
{
    const char *near = suggest_option(name, parser->options->command);
    for (uint32_t id = 0; id < OPTION_COUNT; id++) {
        if (strcmp(infos[id].name, name) != 0)
            continue;
        uint32_t owner = (uint32_t)__builtin_ctz(infos[id].commands);
        return wrong(parser, "--%s is an option of moongate %s, not of %s", name, command_name((enum command)owner),
                     command_name(parser->options->command));
    }
    if (near)
        return wrong(parser, "unknown option --%s: did you mean --%s?", name, near);
    return wrong(parser, "unknown option --%s", name);
}

static int take_long(struct parser *parser, char *word)
{
    char name[40];
    size_t name_bytes = strcspn(word, "=");
    char *value = word[name_bytes] ? word + name_bytes + 1 : NULL;
    snprintf(name, sizeof name, "%.*s", (int)(name_bytes < 39 ? name_bytes : 39), word);
    uint32_t id = 0;
    while (id < OPTION_COUNT && (strcmp(infos[id].name, name) != 0 || !belongs(parser, id)))
        id++;
    if (id == OPTION_COUNT)
        return refuse_option(parser, name);
    const char *argument = infos[id].argument;
    if (!argument && value)
        return wrong(parser, "--%s takes no value", name);
    if (argument && *argument != '[' && !value) {
        value = *parser->rest;
        if (!value)
            return wrong(parser, "--%s: expected %s", name, argument);
        parser->rest++;
    }
    return take(parser, (enum option_id)id, value);
}

/* A cluster of short options; one with an argument takes what is left of the word, or the next word. */
static int take_short(struct parser *parser, char *word)
{
    for (; *word; word++) {
        uint32_t id = 0;
        while (id < OPTION_COUNT && (infos[id].letter != *word || !belongs(parser, id)))
            id++;
        if (id == OPTION_COUNT)
            return wrong(parser, "unknown option -%c", *word);
        const char *value = NULL;
        if (infos[id].argument) {
            value = word[1] ? word + 1 : *parser->rest;
            if (!value)
                return wrong(parser, "-%c: expected %s", *word, infos[id].argument);
            parser->rest += !word[1];
        }
        int code = take(parser, (enum option_id)id, value);
        if (code != GO_ON || infos[id].argument)
            return code;
    }
    return GO_ON;
}

static int take_word(struct parser *parser, char *word)
{
    struct options *options = parser->options;
    int most = words_allowed[options->command].most;
    if (options->vm.argument_count == most && most == 0)
        return wrong(parser, "unexpected word \"%s\": it takes options only", word);
    if (options->vm.argument_count == most)
        return wrong(parser, "unexpected word \"%s\": at most %d", word, most);
    options->words[options->vm.argument_count++] = word;
    return GO_ON;
}

/* serve's own way of saying folder and address becomes the common one. */
static int compose_serve(struct parser *parser)
{
    struct options *options = parser->options;
    if (options->root && options->vm.argument_count)
        return wrong(parser, "the folder is given twice: \"%s\" and --docs-root \"%s\"", options->words[0], options->root);
    if (options->root)
        options->words[options->vm.argument_count++] = options->root;
    if (options->vm.argument_count == 0)
        return wrong(parser, "which folder? expected: moongate serve DIR");
    if (!options->host && !options->port)
        return GO_ON;
    if (options->vm.listen_count)
        return wrong(parser, "give --listen, or --addr and --port, not both");
    const char *host = options->host ? options->host : "127.0.0.1";
    bool v6 = strchr(host, ':') && *host != '[';
    snprintf(options->composed, sizeof options->composed, "%s%.255s%s:%s", v6 ? "[" : "", host, v6 ? "]" : "",
             options->port ? options->port : "8080");
    return take_listen(parser, options->composed);
}

/* Of the folder one is in, as in a tree of one's own; else what was installed. */
static const char *default_config(void)
{
    static const char here[] = "conf/moongate.lua";
    return access(here, F_OK) < 0 && access(MG_CONF, F_OK) == 0 ? MG_CONF : here;
}

static int finish(struct parser *parser)
{
    struct options *options = parser->options;
    struct vm_options *vm = &options->vm;
    if (options->command == COMMAND_SERVE) {
        int code = compose_serve(parser);
        if (code != GO_ON)
            return code;
    }
    if (vm->argument_count < words_allowed[options->command].least)
        return wrong(parser, options->command == COMMAND_PROXY ? "expected an address to listen on and at least one upstream"
                           : options->command == COMMAND_EXPLAIN ? "which request? expected: moongate explain METHOD URL, as in: explain GET /"
                                                                 : "which file? expected: moongate check FILE");
    if (options->command == COMMAND_RUN || options->command == COMMAND_CHECK || options->command == COMMAND_ROUTES) {
        vm->file = vm->argument_count ? options->words[0] : default_config();
        vm->argument_count = 0;
    }
    vm->command = command_name(options->command);
    vm->arguments = options->words;
    vm->listen = options->listen;
    vm->fields = options->fields;
    return GO_ON;
}

static int unknown_command(const char *word)
{
    const char *near = suggest_command(word);
    fprintf(stderr, "moongate: unknown command \"%s\"", word);
    if (near)
        fprintf(stderr, ": did you mean \"%s\"?", near);
    fprintf(stderr, "\nsee: moongate help\n");
    return EXIT_USAGE;
}

static int parse_command(const char *word, enum command *ret_command)
{
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
        help_overview();
        return EXIT_OK;
    }
    bool version = strcmp(word, "--version") == 0 || strcmp(word, "-V") == 0;
    *ret_command = version ? COMMAND_VERSION : command_find(word);
    return *ret_command == COMMAND_COUNT ? unknown_command(word) : GO_ON;
}

int options_parse(int argc, char **argv, struct options *ret_options)
{
    *ret_options = (struct options){ .wait_for_port_ms = -1 };
    struct parser parser = { .options = ret_options, .rest = argv + 2 };
    if (argc < 2) {
        fprintf(stderr, "moongate: which command? see: moongate help\n");
        return EXIT_USAGE;
    }
    int code = parse_command(argv[1], &ret_options->command);
    bool only_words = false;
    while (code == GO_ON && *parser.rest) {
        char *word = *parser.rest++;
        if (only_words || word[0] != '-' || word[1] == 0)
            code = take_word(&parser, word);
        else if (strcmp(word, "--") == 0)
            only_words = true;
        else
            code = word[1] == '-' ? take_long(&parser, word + 2) : take_short(&parser, word + 1);
    }
    return code == GO_ON ? finish(&parser) : code;
}
