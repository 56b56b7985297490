/* What a line of the bank's file means: split, check, add. */
#ifndef BANK_ROW_H
#define BANK_ROW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A transaction, understood. */
struct row {
    uint64_t trans_id;
    uint64_t account;
    /* In hellers, hundredths of a crown; negative for a debit. */
    int64_t amount;
    /* This is a transfer to another bank: bank and account of the other side, with their lengths. */
    bool transfer;
    const char *bank, *other;
    int bank_size, other_size;
};

/* Understands a line. Answers NULL, or why it cannot; the reason lives until the next call. */
const char *parse_row(const char *line, size_t size, struct row *row);

/* The account that a line names, if it gets that far: the key that keeps an account's lines in order. */
bool key_of(const char *line, size_t size, const char **key, size_t *key_size);

#endif
