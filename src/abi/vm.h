/* Starting Lua: the only door from the processes to the scripts. Each function makes one LuaJIT state, runs one module of
 * lua/moongate in it and comes back when that has ended. vm.c is the only file that includes lua.h. */
#pragma once
#include "gate/stats.h"

/* What the command line said; strings are the caller's for the whole run. */
struct vm_options {
    const char *command;      /* "run", "serve", "proxy", "check", "routes", "generations" */
    const char *file;         /* config or app for run, check, routes */
    const char *const *arguments; /* further words: the folder of serve, ADDR and UPSTREAM… of proxy */
    int argument_count;
    const char *const *listen; /* --listen, replaces the config's */
    int listen_count;
    const char *const *fields; /* --header of explain: "Name: value" */
    int field_count;
    const char *engine;       /* --engine; NULL: the config's */
    const char *workers;      /* --workers: "auto" or a number; NULL: the config's */
    const char *name;         /* --name; NULL: from the file */
    const char *answer;       /* of the running instance, for commands that show one (JSON); NULL: none was asked */
    int debug, json, watch;
};

/* What a worker is born with. */
struct vm_worker_boot {
    const struct vm_options *options;
    uint32_t number;          /* of the worker slot, from 0 */
    uint32_t first;           /* runs the once-per-instance start hooks */
    uint32_t generation;      /* to serve */
    int sources;              /* its files, as vm_plan() wrote them; -1: read the disk */
    const int *listeners;     /* listening sockets to accept on */
    const uint32_t *listener_numbers; /* what the master calls them; NULL: 0, 1, 2 … */
    uint32_t listener_count;
    const uint32_t *closed;   /* routes of this generation that are answered 503 */
    uint32_t closed_count;
    int control;              /* SOCK_SEQPACKET to the master: struct control_message both ways (gate/control.h) */
    int access_log, error_log; /* descriptors, -1: none */
    struct mg_stats *stats;
    int stores;               /* memory of the dictionaries (dict/dict.h), -1: none */
    const char *all_stats;
    uint32_t stats_each, stats_count;
    struct proxy_shared *shared; /* what workers share about servers (proxy/shared.h); NULL: this one is alone */
    uint32_t entry;           /* its place there */
    const char *changes;      /* of upstreams, as lines, that were made before it was born; NULL: none */
};

/* Loads our own modules, once, into a state that the next of the functions below takes: a master does it before it forks, so that no child
 * has to. Runs no user code. Without memory nothing is loaded, and a child does it itself. */
void vm_warm(void);
/* Lets go of that state. */
void vm_cool(void);

/* Evaluates the candidate: writes the plan (below) to `out`, the text of every file loaded to `sources` (-1: not), problems to standard error.
 * Exit code: 0, or 1 with problems printed. Runs user code: call it in a child that can be killed.
 *
 * Plan: lines "key value", in any order:
 *   name site            listen HOST:PORT | [V6]:PORT | :PORT | unix:/path     (one line each, in order)
 *   workers 2            engine auto           drain_ms 30000        once 1 (there are once-hooks)
 *   access_log off | - | /path        access_format combined | json        error_log - | /path
 *   route N HEX text     (fingerprint and name of a route)
 *   shared BYTES NAME    (a dictionary of all workers)
 *   file PATH            (each file loaded; with problems also what was looked for in vain)
 *   reload watch | manual
 *   end                  (last line: a plan without it is not whole; with problems there are file lines only) */
int vm_plan(const struct vm_options *options, int out, int sources);
/* Runs a worker until it ends. Exit code. */
int vm_worker(const struct vm_worker_boot *boot);
/* Has lua/moongate/cli_<command>.lua say what the workers of a running instance are to be asked: writes a word, perhaps with JSON behind
 * it, to ret_question (`bytes` with its terminator). Exit code. */
int vm_question(const struct vm_options *options, char *ret_question, uint32_t bytes);
/* Runs lua/moongate/cli_<command>.lua (check, routes; explain, generations: with options->answer they show it). Exit code. A command that
 * asks a file what it would do with a request gets a worker that listens nowhere. */
int vm_command(const struct vm_options *options);
/* Flavour and version of the LuaJIT built in, for `version`. */
const char *vm_version(void);
