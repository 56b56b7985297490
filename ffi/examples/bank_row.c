/* See bank_row.h. */
#include "bank_row.h"

#include <stdio.h>
#include <string.h>

enum { COLUMNS = 10 };

struct text {
    const char *start;
    size_t size;
};

static bool is(struct text text, const char *word)
{
    return text.size == strlen(word) && memcmp(text.start, word, text.size) == 0;
}

static bool is_digit(char letter)
{
    return letter >= '0' && letter <= '9';
}

/* A number without a sign, as long as it fits. */
static bool number(struct text text, uint64_t most, uint64_t *out)
{
    uint64_t value = 0;
    for (size_t i = 0; i < text.size; i++) {
        if (!is_digit(text.start[i]) || value > (most - (uint64_t)(text.start[i] - '0')) / 10)
            return false;
        value = value * 10 + (uint64_t)(text.start[i] - '0');
    }
    *out = value;
    return text.size > 0;
}

/* Bytes of the well-formed UTF-8 character at `at`; 0 if there is none. */
static size_t character(const unsigned char *at, size_t left)
{
    size_t more = at[0] < 0x80 ? 0 : at[0] < 0xc2 ? 9 : at[0] < 0xe0 ? 1 : at[0] < 0xf0 ? 2 : at[0] < 0xf5 ? 3 : 9;
    if (more >= left)
        return 0;
    for (size_t i = 1; i <= more; i++)
        if ((at[i] & 0xc0) != 0x80)
            return 0;
    bool overlong = (at[0] == 0xe0 && at[1] < 0xa0) || (at[0] == 0xf0 && at[1] < 0x90);
    bool outside = (at[0] == 0xed && at[1] > 0x9f) || (at[0] == 0xf4 && at[1] > 0x8f);
    return more > 0 && (overlong || outside) ? 0 : more + 1;
}

static bool is_utf8(const char *line, size_t size)
{
    for (size_t at = 0, step; at < size; at += step)
        if ((step = character((const unsigned char *)line + at, size - at)) == 0)
            return false;
    return true;
}

/* Six digits: year, month, day. */
static bool is_day(struct text date)
{
    uint64_t value;
    if (date.size != 6 || !number(date, UINT64_MAX, &value))
        return false;
    uint64_t month = value / 100 % 100, day = value % 100;
    return month >= 1 && month <= 12 && day >= 1 && day <= 31;
}

/* Text in quotes, or a column that is empty altogether. */
static const char *unquote(struct text *text)
{
    if (text->size == 0)
        return NULL;
    if (text->start[0] != '"')
        return "text is not in quotes";
    if (text->size < 2 || text->start[text->size - 1] != '"')
        return "quotes do not close";
    text->start++;
    text->size -= 2;
    return NULL;
}

/* Crowns, a point and two digits. */
static bool hellers(struct text amount, uint64_t *out)
{
    char digits[24];
    if (amount.size < 4 || amount.size > sizeof digits || amount.start[amount.size - 3] != '.')
        return false;
    memcpy(digits, amount.start, amount.size - 3);
    memcpy(digits + amount.size - 3, amount.start + amount.size - 2, 2);
    return number((struct text){digits, amount.size - 1}, INT64_MAX, out);
}

/* Splits at semicolons; answers how many columns there are. */
static int split(const char *line, size_t size, struct text columns[COLUMNS])
{
    int count = 0;
    size_t start = 0;
    for (size_t at = 0; at <= size; at++) {
        if (at < size && line[at] != ';')
            continue;
        if (count < COLUMNS)
            columns[count] = (struct text){line + start, at - start};
        count++;
        start = at + 1;
    }
    return count;
}

const char *parse_row(const char *line, size_t size, struct row *row)
{
    static char said[40];
    struct text columns[COLUMNS];
    uint64_t amount;
    if (size == 0)
        return "empty line";
    if (!is_utf8(line, size))
        return "not UTF-8 text";
    int count = split(line, size, columns);
    if (count != COLUMNS) {
        snprintf(said, sizeof said, "%d columns instead of 10", count);
        return said;
    }
    struct text kind = columns[3], operation = columns[4], bank = columns[8], other = columns[9];
    if (!number(columns[0], UINT64_MAX, &row->trans_id))
        return "trans_id is not a number";
    if (!number(columns[1], UINT64_MAX, &row->account))
        return "account_id is not a number";
    if (!is_day(columns[2]))
        return "date is not a day as YYMMDD";
    const char *reason = unquote(&kind);
    bool credit = is(kind, "PRIJEM");
    if (reason == NULL && !credit && !is(kind, "VYDAJ") && !is(kind, "VYBER"))
        reason = "unknown type";
    if (reason == NULL)
        reason = unquote(&operation);
    row->transfer = is(operation, "PREVOD NA UCET");
    if (reason == NULL && row->transfer && (reason = unquote(&bank)) == NULL)
        reason = unquote(&other);
    if (reason == NULL && !row->transfer && operation.size > 0 && !is(operation, "VKLAD") && !is(operation, "VYBER") &&
        !is(operation, "VYBER KARTOU") && !is(operation, "PREVOD Z UCTU"))
        reason = "unknown operation";
    if (reason == NULL && !hellers(columns[5], &amount))
        reason = "amount is not crowns with two decimals";
    if (reason != NULL)
        return reason;
    row->amount = credit ? (int64_t)amount : -(int64_t)amount;
    row->bank = bank.start, row->bank_size = (int)bank.size;
    row->other = other.start, row->other_size = (int)other.size;
    return NULL;
}

bool key_of(const char *line, size_t size, const char **key, size_t *key_size)
{
    const char *first = memchr(line, ';', size);
    if (first == NULL)
        return false;
    *key = first + 1;
    const char *second = memchr(*key, ';', size - (size_t)(*key - line));
    *key_size = second != NULL ? (size_t)(second - *key) : size - (size_t)(*key - line);
    return *key_size > 0;
}
