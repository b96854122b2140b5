/* sqlite-query FILE STATEMENT: runs the statement and prints a line for each row, columns separated by "|". */
#include <stdio.h>
#include "sqlite3.h"

static int print_row(void *unused, int columns, char **values, char **names)
{
    (void)unused;
    (void)names;
    for (int i = 0; i < columns; i++)
        printf("%s%s", i ? "|" : "", values[i] ? values[i] : "");
    putchar('\n');
    return 0;
}

int main(int argc, char **argv)
{
    sqlite3 *db;
    char *message = NULL;

    if (argc != 3) {
        fprintf(stderr, "usage: sqlite-query FILE STATEMENT\n");
        return 2;
    }
    if (sqlite3_open(argv[1], &db) != SQLITE_OK) {
        fprintf(stderr, "sqlite-query: %s: %s\n", argv[1], sqlite3_errmsg(db));
        return 1;
    }
    if (sqlite3_exec(db, argv[2], print_row, NULL, &message) != SQLITE_OK) {
        fprintf(stderr, "sqlite-query: %s\n", message);
        return 1;
    }
    sqlite3_close(db);
    return 0;
}
