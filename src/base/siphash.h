/* SipHash-1-3: a hash that nobody can aim at without knowing its key (Aumasson and Bernstein, 2012). In: bytes and a key; out: 64 bits. */
#pragma once
#include <stdint.h>

uint64_t siphash(const uint64_t key[2], const char *bytes, uint32_t count);
