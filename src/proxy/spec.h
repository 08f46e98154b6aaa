/* What a config says of an upstream, as lines. Comes in: text. Goes out: the same as values, or what is wrong with it. Pure.
 *
 *   10.0.0.1:9000 weight=2 max=100 backup    a server: its address, and what is said of it; a bare number is its weight, too
 *   _http._tcp.example.org srv               the servers of a service
 *   balance least-connections                everything else is a key and its value (spec.c has the list) */
#pragma once
#include "base/slice.h"
#include "proxy/address.h"
#include "proxy/balance.h"
#include "proxy/ejection.h"

enum { SPEC_SERVERS_MAX = 64, SPEC_TEXT_BYTES = 256 };

enum spec_key { KEY_NONE, KEY_GIVEN, KEY_CLIENT, KEY_PATH, KEY_TARGET, KEY_HEADER, KEY_COOKIE };
enum spec_check { CHECK_NONE, CHECK_TCP, CHECK_HTTP };

/* How a server is meant to be used. */
struct spec_server {
    char text[PLACE_TEXT_BYTES]; /* as written */
    uint16_t weight;               /* 1..BALANCE_WEIGHT_MAX */
    uint8_t backup;                /* only while no other can be used */
    uint8_t service;               /* the name of a service */
    uint32_t connections_max;      /* in use at once, by all workers together; 0: no limit */
};

struct spec_check_options {
    uint8_t kind;                   /* enum spec_check */
    uint16_t status_from, status_to; /* of an answer that is good */
    uint32_t every_ms, timeout_ms;
    uint32_t rise, fall;            /* good or bad results in a row that change what is thought of a server */
    char path[SPEC_TEXT_BYTES], host[SPEC_TEXT_BYTES], body[SPEC_TEXT_BYTES];
};

struct spec_options {
    uint8_t kind;                /* enum balance_kind */
    uint8_t key;                 /* enum spec_key: what of a request is the key */
    char key_name[64];           /* of the header or cookie */
    uint32_t queue_max;          /* requests that wait for a connection, in one worker */
    uint32_t queue_ms;           /* how long one waits */
    uint32_t connections_max;    /* of a server that is added later and says nothing of it; 0: no limit */
    uint32_t requests_max;       /* running at once in one worker; 0: no limit */
    uint32_t slow_start_ms;      /* until a server that came back has its whole weight; 0: at once */
    uint32_t panic_percent;      /* fewer healthy servers than that: all are used */
    uint32_t ttl_min_ms, ttl_max_ms; /* how long an answer about a name is kept, whatever it says */
    struct ejection_policy ejection;
    struct spec_check_options check;
    char resolver[64];           /* "IP:PORT" that is asked for names; "": as the system is set up */
};

struct spec {
    struct spec_options options;
    uint32_t server_count;
    struct spec_server servers[SPEC_SERVERS_MAX];
};

/* 0, or -EINVAL with a sentence in ret_message, which does not name the upstream. */
int spec_read(struct spec *ret_spec, struct slice lines, char *ret_message, uint32_t message_bytes);
/* One line that is a server. The same errors. */
int spec_read_server(struct spec_server *ret_server, struct slice line, char *ret_message, uint32_t message_bytes);
/* Takes a line off the front, without its end. */
struct slice spec_line(struct slice *lines);
/* Takes a word off the front of a line; bytes 0: there is none left. */
struct slice spec_word(struct slice *line);
/* A decimal number within bounds; -1: it is not. */
int64_t spec_number(struct slice word, uint32_t least, uint32_t most);
