/* A named producer: after a crash it knows where it stood, and what it sends again is refused. */
#include "check.h"

static const char *const LINES[] = {"one", "two", "three", "four", "five"};

/* Sends the first lines; the number of a line is its position. Answers how many the log already had. */
static int load(oncelog_engine_t *engine, int to)
{
    oncelog_producer_options_t options = {.struct_size = sizeof options, .name = "loader"};
    oncelog_producer_t *producer;
    uint64_t position;
    bool known;
    int duplicates = 0;
    check(oncelog_producer_open(engine, &options, &producer));
    check(oncelog_producer_position(producer, &position, &known));
    printf("the log has everything up to position %d\n", known ? (int)position : 0);
    for (int line = 0; line < to; line++) {
        oncelog_record_t record = record_of(LINES[line]);
        oncelog_ticket_t *ticket;
        oncelog_appended_t appended;
        record.fields = ONCELOG_RECORD_POSITION;
        record.position = (uint64_t)line + 1;
        check(oncelog_producer_send(producer, "lines", &record, &ticket));
        check(oncelog_ticket_wait(ticket));
        check(oncelog_ticket_appended(ticket, &appended));
        duplicates += appended.duplicate;
        check(oncelog_ticket_free(ticket));
    }
    check(oncelog_producer_free(producer));
    return duplicates;
}

int main(int count, char **arguments)
{
    oncelog_engine_t *engine;
    check(oncelog_open(directory(count, arguments), NULL, &engine));
    check(oncelog_create_topic(engine, "lines", NULL));
    load(engine, 3);
    check(oncelog_engine_close(engine));

    /* Another life, which does not trust the first one and sends everything. */
    check(oncelog_open(directory(count, arguments), NULL, &engine));
    printf("%d lines were refused as duplicates\n", load(engine, 5));
    check(oncelog_engine_close(engine));
    return 0;
}
