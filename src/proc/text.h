/* Text that grows while it is printed, within a bound, and strings as JSON. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

enum { TEXT_BYTES_MAX = 1 << 20 };

/* Begins all zero. */
struct text {
    char *at; /* owned, a string; NULL while empty */
    uint32_t bytes, capacity;
    bool lost; /* something did not fit or memory was refused: the text is not whole */
};

void text_add(struct text *text, const char *bytes, uint32_t count);
void text_put(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* A JSON string with its quotes (RFC 8259 §7). Bytes that are not UTF-8 become U+FFFD. */
void text_json(struct text *text, const char *string);
void text_fini(struct text *text);
/* "850ms", "12s", "3m 20s", "5h 2m", "4d 3h"; valid until the fourth call after it. */
const char *text_duration(int64_t ms);
