#include "words.h"

#include <ctype.h>
#include <stdbool.h>

size_t count_words(const char *text, size_t length)
{
    size_t words = 0;
    bool inside = false;

    for (size_t i = 0; i < length; i++) {
        bool blank = isspace((unsigned char)text[i]);
        if (!blank && !inside)
            words++;
        inside = !blank;
    }
    return words;
}
