/* The README's lines of C, as they stand there: test.sh takes them out of it. */
#include "../examples/check.h"

int main(void)
{
    oncelog_engine_t *engine = NULL;
    oncelog_producer_t *producer = NULL;
    oncelog_partition_t *words = NULL;
    oncelog_records_t *records = NULL;
    const oncelog_record_view_t *views = NULL;
    size_t count = 0;
#include "readme_lines.h"
    check(oncelog_records_free(records));
    check(oncelog_partition_free(words));
    check(oncelog_producer_free(producer));
    check(oncelog_engine_close(engine));
    return 0;
}
