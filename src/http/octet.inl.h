/* What each byte may be, in one table: the classes of RFC 9110 §5.6.2 (token), RFC 3986 §2 and §3.2.2
 * (unreserved, reg-name) and the hexadecimal digits. Included by the files of this room only. */
#pragma once
#include <stdint.h>

enum {
    OCTET_VALUE = 0x0f,      /* of a hexadecimal digit */
    OCTET_HEX = 1 << 4,
    OCTET_TOKEN = 1 << 5,
    OCTET_UNRESERVED = 1 << 6,
    OCTET_REG_NAME = 1 << 7, /* unreserved and sub-delims, but for the comma: a list of hosts is not a host */
    OCTET_CONTROL = 1 << 8,  /* 0x00-0x1f, with HTAB, and 0x7f */
};

#define OCTET_LETTER (OCTET_TOKEN | OCTET_UNRESERVED | OCTET_REG_NAME)
#define OCTET_DIGIT(value) (OCTET_LETTER | OCTET_HEX | (value))
static const uint16_t http_octet[256] = {
    [0x00 ... 0x1f] = OCTET_CONTROL,
    [0x7f] = OCTET_CONTROL,
    ['0'] = OCTET_DIGIT(0), ['1'] = OCTET_DIGIT(1), ['2'] = OCTET_DIGIT(2), ['3'] = OCTET_DIGIT(3),
    ['4'] = OCTET_DIGIT(4), ['5'] = OCTET_DIGIT(5), ['6'] = OCTET_DIGIT(6), ['7'] = OCTET_DIGIT(7),
    ['8'] = OCTET_DIGIT(8), ['9'] = OCTET_DIGIT(9),
    ['A'] = OCTET_DIGIT(10), ['B'] = OCTET_DIGIT(11), ['C'] = OCTET_DIGIT(12),
    ['D'] = OCTET_DIGIT(13), ['E'] = OCTET_DIGIT(14), ['F'] = OCTET_DIGIT(15),
    ['a'] = OCTET_DIGIT(10), ['b'] = OCTET_DIGIT(11), ['c'] = OCTET_DIGIT(12),
    ['d'] = OCTET_DIGIT(13), ['e'] = OCTET_DIGIT(14), ['f'] = OCTET_DIGIT(15),
    ['G' ... 'Z'] = OCTET_LETTER,
    ['g' ... 'z'] = OCTET_LETTER,
    ['-'] = OCTET_LETTER, ['.'] = OCTET_LETTER, ['_'] = OCTET_LETTER, ['~'] = OCTET_LETTER,
    ['!'] = OCTET_TOKEN | OCTET_REG_NAME, ['$'] = OCTET_TOKEN | OCTET_REG_NAME,
    ['&'] = OCTET_TOKEN | OCTET_REG_NAME, ['\''] = OCTET_TOKEN | OCTET_REG_NAME,
    ['*'] = OCTET_TOKEN | OCTET_REG_NAME, ['+'] = OCTET_TOKEN | OCTET_REG_NAME,
    ['('] = OCTET_REG_NAME, [')'] = OCTET_REG_NAME,
    [';'] = OCTET_REG_NAME, ['='] = OCTET_REG_NAME,
    ['#'] = OCTET_TOKEN, ['%'] = OCTET_TOKEN, ['^'] = OCTET_TOKEN, ['`'] = OCTET_TOKEN,
    ['|'] = OCTET_TOKEN,
};
#undef OCTET_DIGIT
#undef OCTET_LETTER

static inline int octet_is(char c, unsigned classes)
{
    return (http_octet[(uint8_t)c] & classes) != 0;
}

static inline unsigned octet_value(char c)
{
    return http_octet[(uint8_t)c] & OCTET_VALUE;
}
