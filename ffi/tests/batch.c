/* Batches as Kafka's clients encode them: appended as they are, and looked into before. */
#include "ready_batch.h"

static void a_header_whose_name_is_no_text_is_answered_as_it_is(void)
{
    static const unsigned char HEADERS[] = {4, 2, 0xff, 1, 2, 'b', 2, 'x'};
    char *directory = new_directory();
    oncelog_engine_t *engine = open_with_topic(directory, 1);
    oncelog_partition_t *partition = NULL;
    oncelog_records_t *records = NULL;
    const oncelog_record_view_t *views = NULL;
    oncelog_header_view_t headers[2];
    size_t count = 0;
    unsigned char batch[sizeof BATCH - 1 + sizeof HEADERS];
    with_headers(batch, HEADERS, sizeof HEADERS);
    OK(oncelog_partition_open(engine, "t", 0, &partition));
    OK(oncelog_partition_append_batch(partition, batch, sizeof batch, NULL, NULL));
    for (int where = 0; where < 2; where++) {
        if (where == 0)
            OK(oncelog_partition_read(partition, 0, NULL, &records));
        else
            OK(oncelog_batch_records(batch, sizeof batch, &records));
        OK(oncelog_records_next(records, &views, &count));
        CHECK(count == 1 && views->header_count == 2 && views->value_size == 1 && *(const char *)views->value == 'v');
        OK(oncelog_records_headers(records, views, headers, 2));
        CHECK(headers[0].key_size == 1 && *(const unsigned char *)headers[0].key == 0xff && headers[0].value == NULL);
        CHECK(headers[1].key_size == 1 && *(const char *)headers[1].key == 'b' && headers[1].value_size == 1);
        OK(oncelog_records_free(records));
    }
    OK(oncelog_partition_free(partition));
    OK(oncelog_engine_close(engine));
    drop_directory(directory);
}

/* How many bytes a read holds. */
static size_t bytes_from(const oncelog_partition_t *partition, uint64_t offset)
{
    oncelog_records_t *records = NULL;
    size_t bytes = 9;
    OK(oncelog_partition_read(partition, offset, NULL, &records));
    FAILS(INVALID_ARGUMENT, oncelog_records_bytes(records, NULL));
    OK(oncelog_records_bytes(records, &bytes));
    OK(oncelog_records_free(records));
    FAILS(CLOSED, oncelog_records_bytes(records, &bytes));
    FAILS(INVALID_ARGUMENT, oncelog_records_bytes((const oncelog_records_t *)partition, &bytes));
    return bytes;
}

static void a_ready_batch_is_checked_byte_for_byte(void)
{
    char *directory = new_directory();
    oncelog_engine_t *engine = open_with_topic(directory, 1);
    oncelog_partition_t *partition = NULL;
    unsigned char batch[sizeof BATCH];
    memcpy(batch, BATCH, sizeof batch);
    OK(oncelog_partition_open(engine, "t", 0, &partition));
    FAILS(CORRUPT, oncelog_partition_append_batch(partition, batch, sizeof batch, NULL, NULL)); /* its crc is 0 */
    seal(batch, sizeof batch);
    oncelog_ticket_t *ticket = NULL;
    oncelog_appended_t appended;
    OK(oncelog_partition_append_batch(partition, batch, sizeof batch, NULL, &ticket));
    OK(oncelog_ticket_wait(ticket));
    OK(oncelog_ticket_appended(ticket, &appended));
    CHECK(appended.first == 0 && appended.timestamp == 1000);
    OK(oncelog_ticket_free(ticket));
    OK(oncelog_partition_append_batch(partition, batch, sizeof batch, NULL, NULL));
    CHECK(end_of(engine, "t") == 2);
    CHECK(bytes_from(partition, 0) >= 2 * sizeof batch && bytes_from(partition, 1) >= sizeof batch);
    CHECK(bytes_from(partition, 2) == 0);
    FAILS(CORRUPT, oncelog_partition_append_batch(partition, batch, sizeof batch - 1, NULL, NULL));
    OK(oncelog_partition_free(partition));
    OK(oncelog_engine_close(engine));
    drop_directory(directory);
}

static void codecs_of_this_build_are_told(void)
{
    bool available = false;
    for (uint32_t codec = ONCELOG_COMPRESSION_NONE; codec <= ONCELOG_COMPRESSION_ZSTD; codec++, available = false) {
        OK(oncelog_compression_is_available(codec, &available));
        CHECK(available);
    }
    FAILS(INVALID_ARGUMENT, oncelog_compression_is_available(ONCELOG_COMPRESSION_ZSTD + 1, &available));
    FAILS(INVALID_ARGUMENT, oncelog_compression_is_available(256, &available));
    FAILS(INVALID_ARGUMENT, oncelog_compression_is_available(ONCELOG_COMPRESSION_GZIP, NULL));
    CHECK(!available); /* a refusal leaves it alone */
}

static void a_batch_tells_its_header(void)
{
    unsigned char batch[sizeof BATCH];
    oncelog_batch_header_t header, before;
    memcpy(batch, BATCH, sizeof batch);
    seal(batch, sizeof batch);
    OK(oncelog_batch_header(batch, sizeof batch, &header));
    CHECK(header.base_offset == 0 && header.last_offset == 0 && header.count == 1 && header.size == sizeof batch);
    CHECK(header.base_timestamp == 1000 && header.max_timestamp == 1000 && header.magic == 2);
    CHECK(header.producer.producer_id == -1 && header.producer.epoch == -1 && header.leader_epoch == -1);
    CHECK(header.base_sequence == -1 && header.last_sequence == -1 && header.attributes == 0);
    CHECK(header.compression == ONCELOG_COMPRESSION_NONE && !header.transactional && !header.delete_horizon);
    CHECK(header.timestamp_type == ONCELOG_TIMESTAMP_CREATE_TIME && !header.control);
    CHECK(header.crc >> 24 == batch[17] && (header.crc & 0xff) == batch[20]);

    /* A producer with an epoch and a sequence, in a transaction; its greatest timestamp and its bit for the log's time
     * are told as they are appended. */
    memset(batch + 43, 0, 14);
    batch[50] = 9;
    batch[52] = 3;
    batch[56] = 7;
    batch[22] = 1 << 4 | 1 << 3;
    batch[42]++;
    seal(batch, sizeof batch);
    OK(oncelog_batch_header(batch, sizeof batch, &header));
    CHECK(header.producer.producer_id == 9 && header.producer.epoch == 3);
    CHECK(header.base_sequence == 7 && header.last_sequence == 7 && header.transactional);
    CHECK(header.max_timestamp == 1000 && header.attributes == 1 << 4);
    CHECK(header.timestamp_type == ONCELOG_TIMESTAMP_CREATE_TIME && !header.control);

    /* What an append refuses is refused here, and the output is left alone. */
    memset(&header, 0x5a, sizeof header);
    memcpy(&before, &header, sizeof before);
    FAILS(CORRUPT, oncelog_batch_header(batch, sizeof batch - 1, &header));
    FAILS(CORRUPT, oncelog_batch_header(batch, 3, &header));
    FAILS(INVALID_ARGUMENT, oncelog_batch_header(NULL, 3, &header));
    FAILS(INVALID_ARGUMENT, oncelog_batch_header(batch, SIZE_MAX, &header));
    FAILS(INVALID_ARGUMENT, oncelog_batch_header(batch, sizeof batch, NULL));
    oncelog_error_t *error = oncelog_batch_header(NULL, 0, &header);
    CHECK(error != NULL);
    oncelog_error_free(error);
    batch[22] = 1 << 5; /* a marker */
    seal(batch, sizeof batch);
    FAILS(INVALID_RECORD, oncelog_batch_header(batch, sizeof batch, &header));
    batch[22] = 0;
    FAILS(CORRUPT, oncelog_batch_header(batch, sizeof batch, &header));
    CHECK(memcmp(&header, &before, sizeof header) == 0);
}

/* Makes a batch of records with the key "k", and values from 'A' on, out of the one above. */
static size_t many(unsigned char *batch, unsigned char records)
{
    enum { EACH = 9 };
    size_t size = 61 + (size_t)records * EACH;
    memcpy(batch, BATCH, 61);
    for (unsigned char i = 0; i < records; i++) {
        memcpy(batch + 61 + i * EACH, BATCH + 61, EACH);
        batch[61 + i * EACH + 3] = (unsigned char)(2 * i);
        batch[61 + i * EACH + 7] = 'A' + i;
    }
    batch[10] = (unsigned char)((size - 12) >> 8);
    batch[11] = (unsigned char)(size - 12);
    batch[26] = records - 1;
    batch[60] = records;
    seal(batch, size);
    return size;
}

static void the_records_of_a_batch_are_walked_as_others_are(void)
{
    enum { RECORDS = 50 };
    unsigned char batch[1000];
    size_t size = many(batch, RECORDS), count = 0, bytes = 0;
    oncelog_records_t *records = NULL;
    const oncelog_record_view_t *views = NULL;
    oncelog_offsets_t *next = NULL;
    const oncelog_offset_t *offsets = NULL;
    oncelog_place_t place;
    uint64_t all = 0;
    bool known = true;
    OK(oncelog_batch_records(batch, size, &records));
    memset(batch, 0, sizeof batch); /* they have their own copy */
    for (int walk = 0; walk < 2; walk++) {
        unsigned char seen = 0;
        do {
            OK(oncelog_records_next(records, &views, &count));
            for (size_t i = 0; i < count; i++, seen++) {
                CHECK(views[i].offset == seen && views[i].timestamp == 1000 && views[i].header_count == 0);
                CHECK(views[i].value_size == 1 && *(const char *)views[i].value == 'A' + seen);
                CHECK(views[i].key_size == 1 && *views[i].topic == '\0' && views[i].partition == 0);
            }
        } while (count > 0);
        CHECK(seen == RECORDS);
        OK(oncelog_records_rewind(records));
    }
    OK(oncelog_records_count(records, &all));
    OK(oncelog_records_bytes(records, &bytes));
    CHECK(all == RECORDS && bytes == size);
    /* No partition is read on behind them. */
    OK(oncelog_records_next_offset(records, "", 0, &all, &known));
    CHECK(!known && all == 0);
    OK(oncelog_records_next_place(records, "", 0, &place, &known));
    CHECK(!known && place.offset == 0);
    OK(oncelog_records_next_offsets(records, &next));
    OK(oncelog_offsets_get(next, &offsets, &count));
    CHECK(count == 0);
    OK(oncelog_offsets_free(next));
    OK(oncelog_records_free(records));
    FAILS(CLOSED, oncelog_records_next(records, &views, &count));

    size = many(batch, RECORDS);
    FAILS(INVALID_ARGUMENT, oncelog_batch_records(batch, size, NULL));
    FAILS(INVALID_ARGUMENT, oncelog_batch_records(NULL, size, &records));
    FAILS(CORRUPT, oncelog_batch_records(batch, size - 1, &records));
}

int main(void)
{
    a_header_whose_name_is_no_text_is_answered_as_it_is();
    a_ready_batch_is_checked_byte_for_byte();
    codecs_of_this_build_are_told();
    a_batch_tells_its_header();
    the_records_of_a_batch_are_walked_as_others_are();
    return 0;
}
