/* A number as the word that an entry keeps, and back. */
#pragma once
#include <stdint.h>
#include <string.h>

static inline double number_of(uint64_t word)
{
    double number;
    memcpy(&number, &word, sizeof number);
    return number;
}

static inline uint64_t word_of(double number)
{
    uint64_t word;
    memcpy(&word, &number, sizeof word);
    return word;
}
