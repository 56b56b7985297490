/* A batch as Kafka's clients encode it, for those that append one or look into it. */
#ifndef READY_BATCH_H
#define READY_BATCH_H

#include "check.h"

/* As Kafka 3.7 encodes a batch of one record with the key "k" and the value "v" at time 1000. */
static const unsigned char BATCH[] = {
    0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    58,   0xff, 0xff, 0xff, 0xff, 2,    0, 0, 0,
    0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    3,    0xe8, 0,    0,    0, 0, 0,
    0,    3,    0xe8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0,
    1,    16,   0,    0,    0,    2,    'k',  2,    'v',  0};

/* Writes the checksum of a batch. */
static inline void seal(unsigned char *batch, size_t size)
{
    uint32_t crc = 0xffffffff;
    for (size_t i = 21; i < size; i++) {
        crc ^= batch[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc & 1 ? crc >> 1 ^ 0x82f63b78 : crc >> 1;
    }
    for (int i = 0; i < 4; i++)
        batch[17 + i] = (unsigned char)(~crc >> (24 - 8 * i));
}

/* Writes that batch with headers, encoded in so many bytes; there must be room for sizeof BATCH - 1 + size. They take
 * the place of none, which is the last byte; two lengths count them. */
static inline void with_headers(unsigned char *batch, const unsigned char *headers, size_t size)
{
    memcpy(batch, BATCH, sizeof BATCH);
    memcpy(batch + sizeof BATCH - 1, headers, size);
    batch[11] += (unsigned char)(size - 1);
    batch[61] += (unsigned char)(2 * (size - 1));
    seal(batch, sizeof BATCH - 1 + size);
}

#endif
