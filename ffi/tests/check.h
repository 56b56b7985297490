/* What the tests share: checks that say where they fail, a throw-away directory, records in one line. */
#ifndef CHECK_H
#define CHECK_H

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "oncelog.h"

#define FAIL(...) (fprintf(stderr, "%s:%d: ", __FILE__, __LINE__), fprintf(stderr, __VA_ARGS__), \
                   fputc('\n', stderr), exit(1))

#define CHECK(condition) ((condition) ? (void)0 : (void)FAIL("%s", #condition))

/* A call that must succeed. */
#define OK(call)                                                                                        \
    do {                                                                                                \
        oncelog_error_t *error_ = (call);                                                               \
        if (error_ != NULL)                                                                             \
            FAIL("%s: %s: %s", #call, oncelog_error_name(error_), oncelog_error_message(error_));       \
    } while (0)

/* A call that must fail with a code, with a message worth reading. */
#define FAILS(code, call)                                                                               \
    do {                                                                                                \
        oncelog_error_t *error_ = (call);                                                               \
        if (oncelog_error_code(error_) != ONCELOG_ERROR_##code)                                         \
            FAIL("%s: %s, not %s: %s", #call, oncelog_error_name(error_), #code,                        \
                 oncelog_error_message(error_));                                                        \
        CHECK(strlen(oncelog_error_message(error_)) > 10);                                              \
        oncelog_error_free(error_);                                                                     \
    } while (0)

#ifdef _WIN32
/* The one thing that the tests need of POSIX and MinGW does not have. */
static inline char *mkdtemp(char *path)
{
    return mktemp(path) != NULL && mkdir(path) == 0 ? path : NULL;
}
#endif

static inline void remove_tree(const char *path)
{
    DIR *directory = opendir(path);
    for (struct dirent *entry; directory && (entry = readdir(directory));) {
        char name[4096];
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        CHECK((size_t)snprintf(name, sizeof name, "%s/%s", path, entry->d_name) < sizeof name);
        if (unlink(name) != 0)
            remove_tree(name);
    }
    if (directory)
        closedir(directory);
    rmdir(path);
}

/* A new directory; remove it with remove_tree and free it. */
static inline char *new_directory(void)
{
    const char *top = getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp";
    char *path = malloc(strlen(top) + 20);
    CHECK(path != NULL);
    sprintf(path, "%s/oncelog-XXXXXX", top);
    CHECK(mkdtemp(path) != NULL);
    return path;
}

static inline void drop_directory(char *path)
{
    remove_tree(path);
    free(path);
}

static inline oncelog_record_t text_record(const char *value)
{
    oncelog_record_t record = {.value = value, .value_size = strlen(value)};
    return record;
}

static inline oncelog_record_t keyed_record(const char *key, const char *value)
{
    oncelog_record_t record = text_record(value);
    record.key = key;
    record.key_size = strlen(key);
    return record;
}

static inline bool holds(const oncelog_record_view_t *view, const char *value)
{
    return view->value_size == strlen(value) && memcmp(view->value, value, view->value_size) == 0;
}

/* An engine in a directory with one topic "t" of so many partitions. */
static inline oncelog_engine_t *open_with_topic(const char *directory, uint32_t partitions)
{
    oncelog_engine_t *engine = NULL;
    oncelog_topic_options_t options = {.struct_size = sizeof options, .partitions = partitions};
    OK(oncelog_open(directory, NULL, &engine));
    OK(oncelog_create_topic(engine, "t", &options));
    return engine;
}

static inline uint64_t end_of(const oncelog_engine_t *engine, const char *topic)
{
    oncelog_partition_t *partition = NULL;
    oncelog_bounds_t bounds;
    OK(oncelog_partition_open(engine, topic, 0, &partition));
    OK(oncelog_partition_bounds(partition, &bounds));
    OK(oncelog_partition_free(partition));
    return bounds.end;
}

#endif
