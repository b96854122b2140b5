/* Counts the words of its standard input, and says how small zlib makes it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "words.h"

#define LIMIT (1 << 20)

int main(int argc, char **argv)
{
    static char text[LIMIT];
    size_t length;
    uLongf packed;
    Bytef *buffer;

    if (argc > 1 && strcmp(argv[1], "--version") == 0) {
        printf("words %s, zlib %s\n", VERSION, zlibVersion());
        return 0;
    }
    length = fread(text, 1, LIMIT, stdin);
    packed = compressBound(length);
    buffer = malloc(packed);
    if (buffer == NULL || compress(buffer, &packed, (const Bytef *)text, length) != Z_OK) {
        fprintf(stderr, "words: out of memory\n");
        return 1;
    }
    printf("%lu words, %lu bytes, %lu compressed\n", (unsigned long)count_words(text, length), (unsigned long)length,
           (unsigned long)packed);
    free(buffer);
    return 0;
}
