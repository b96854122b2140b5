#ifndef WORDS_H
#define WORDS_H

#include <stddef.h>

/* How many words there are in `length` bytes of text: runs of anything but blanks and newlines. */
size_t count_words(const char *text, size_t length);

#endif
