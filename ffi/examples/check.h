/* What every example needs: stop at the first error and say it; a directory to play in. */
#ifndef CHECK_H
#define CHECK_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "oncelog.h"

static inline void check(oncelog_error_t *error)
{
    if (error == NULL)
        return;
    fprintf(stderr, "%s: %s\n", oncelog_error_name(error), oncelog_error_message(error));
    exit(EXIT_FAILURE);
}

static inline oncelog_record_t record_of(const char *value)
{
    oncelog_record_t record = {.value = value, .value_size = strlen(value)};
    return record;
}

/* The directory named on the command line. */
static inline const char *directory(int count, char **arguments)
{
    if (count == 2)
        return arguments[1];
    fprintf(stderr, "give a new directory for the log\n");
    exit(EXIT_FAILURE);
}

#endif
