/* A program of somebody who has installed oncelog: program <new directory>. */
#include <oncelog.h>

int main(int count, char **arguments)
{
    oncelog_engine_t *engine = NULL;
    oncelog_error_t *error = oncelog_open(arguments[count - 1], NULL, &engine);
    if (error == NULL) error = oncelog_create_topic(engine, "t", NULL);
    oncelog_engine_close(engine);
    return error == NULL && oncelog_version_number() == ONCELOG_VERSION_NUMBER ? 0 : 1;
}
