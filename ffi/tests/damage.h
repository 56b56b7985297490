/* What a disk may do to a log. */
#ifndef DAMAGE_H
#define DAMAGE_H

#include "check.h"

/* Damages what a power cut would have taken: the bytes of a text in any file of a directory. */
static inline void damage(const char *directory, const char *text)
{
    DIR *list = opendir(directory);
    bool found = false;
    CHECK(list != NULL);
    for (struct dirent *entry; (entry = readdir(list)) && !found;) {
        char name[4096];
        static char bytes[1 << 20];
        CHECK((size_t)snprintf(name, sizeof name, "%s/%s", directory, entry->d_name) < sizeof name);
        FILE *file = fopen(name, "r+b");
        if (file == NULL)
            continue;
        size_t size = fread(bytes, 1, sizeof bytes, file);
        void *at = memmem(bytes, size, text, strlen(text));
        if (at != NULL) {
            CHECK(fseek(file, (char *)at - bytes, SEEK_SET) == 0 && fputc('?', file) == '?');
            found = true;
        }
        CHECK(fclose(file) == 0);
    }
    closedir(list);
    CHECK(found);
}

#endif
