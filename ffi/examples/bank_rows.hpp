// What a line of the bank's file means: the loader's key, the worker's row. Plain text work, nothing of the log.

#ifndef BANK_ROWS_HPP
#define BANK_ROWS_HPP

#include <charconv>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace bank {

/// Why a line is no transaction.
struct Malformed : std::runtime_error {
    using std::runtime_error::runtime_error;
};

/// The parts of a text between its separators.
inline std::vector<std::string_view> split(std::string_view text, char separator) {
    std::vector<std::string_view> parts;
    for (;;) {
        auto end = text.find(separator);
        parts.push_back(text.substr(0, end));
        if (end == std::string_view::npos) return parts;
        text.remove_prefix(end + 1);
    }
}

/// The lines of the input: each ends with a newline.
inline std::vector<std::string_view> lines(std::string_view file) {
    if (!file.empty() && file.back() == '\n') file.remove_suffix(1);
    return split(file, '\n');
}

/// The account that a line names, if it gets that far: the key that keeps an account's lines in order.
inline std::optional<std::string_view> key(std::string_view line) {
    auto first = line.find(';');
    if (first == std::string_view::npos) return std::nullopt;
    std::string_view account = line.substr(first + 1);
    account = account.substr(0, account.find(';'));
    return account.empty() ? std::nullopt : std::optional(account);
}

/// True if the bytes are UTF-8: no byte missing or left over, nothing longer than needed, no surrogates.
inline bool is_utf8(std::string_view text) {
    for (std::size_t at = 0; at < text.size();) {
        auto byte = [&](std::size_t i) { return at + i < text.size() ? static_cast<unsigned char>(text[at + i]) : 0u; };
        unsigned first = byte(0);
        if ((first >= 0x80 && first < 0xc2) || first > 0xf4) return false;
        std::size_t more = first < 0x80 ? 0 : first < 0xe0 ? 1 : first < 0xf0 ? 2 : 3;
        for (std::size_t i = 1; i <= more; ++i) {
            if ((byte(i) & 0xc0) != 0x80) return false;
        }
        unsigned second = byte(1);
        if (first == 0xe0 && second < 0xa0) return false;
        if (first == 0xed && second > 0x9f) return false;
        if (first == 0xf0 && second < 0x90) return false;
        if (first == 0xf4 && second > 0x8f) return false;
        at += 1 + more;
    }
    return true;
}

inline bool digits(std::string_view text) {
    return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
}

/// A number, all of it.
template <class T>
std::optional<T> number(std::string_view text) {
    if (!text.empty() && text.front() == '+') text.remove_prefix(1);
    T value = 0;
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (!digits(text) || error != std::errc() || end != text.data() + text.size()) return std::nullopt;
    return value;
}

inline void check_date(std::string_view date) {
    auto in_range = [&](std::size_t at, int last) {
        int value = number<int>(date.substr(at, 2)).value_or(0);
        return 1 <= value && value <= last;
    };
    bool day = date.size() == 6 && digits(date);
    if (!day || !in_range(2, 12) || !in_range(4, 31)) throw Malformed("date is not a day as YYMMDD");
}

/// Text in quotes, or a column that is empty altogether.
inline std::string_view unquote(std::string_view column) {
    if (column.empty()) return column;
    if (column.front() != '"') throw Malformed("text is not in quotes");
    if (column.size() < 2 || column.back() != '"') throw Malformed("quotes do not close");
    return column.substr(1, column.size() - 2);
}

/// Crowns with two decimals, as hundredths.
inline std::int64_t hellers(std::string_view amount) {
    auto point = amount.find('.');
    std::optional<std::int64_t> value;
    if (point != std::string_view::npos) {
        std::string_view crowns = amount.substr(0, point), cents = amount.substr(point + 1);
        if (digits(crowns) && digits(cents) && cents.size() == 2) {
            value = number<std::int64_t>(std::string(crowns) + std::string(cents));
        }
    }
    if (!value) throw Malformed("amount is not crowns with two decimals");
    return *value;
}

/// Bank and account of the other side of a transfer.
struct Other {
    std::string_view bank, account;
};

/// A transaction, understood. Borrows from its line.
struct Row {
    std::uint64_t trans_id;
    std::uint64_t account;
    /// In hellers; negative for a debit.
    std::int64_t amount;
    /// If this is a transfer to another bank.
    std::optional<Other> transfer;

    /// Understands a line, or throws why it cannot.
    static Row parse(std::string_view line) {
        if (line.empty()) throw Malformed("empty line");
        if (!is_utf8(line)) throw Malformed("not UTF-8 text");
        auto columns = split(line, ';');
        if (columns.size() != 10) throw Malformed(std::to_string(columns.size()) + " columns instead of 10");
        auto trans_id = number<std::uint64_t>(columns[0]);
        if (!trans_id) throw Malformed("trans_id is not a number");
        auto account = number<std::uint64_t>(columns[1]);
        if (!account) throw Malformed("account_id is not a number");
        check_date(columns[2]);
        int sign = sign_of(unquote(columns[3]));
        auto transfer = transfer_of(columns);
        return Row{*trans_id, *account, sign * hellers(columns[5]), transfer};
    }

private:
    static int sign_of(std::string_view kind) {
        if (kind == "PRIJEM") return 1;
        if (kind == "VYDAJ" || kind == "VYBER") return -1;
        throw Malformed("unknown type");
    }
    static std::optional<Other> transfer_of(const std::vector<std::string_view> &columns) {
        std::string_view operation = unquote(columns[4]);
        if (operation == "PREVOD NA UCET") return Other{unquote(columns[8]), unquote(columns[9])};
        for (std::string_view other : {"", "VKLAD", "VYBER", "VYBER KARTOU", "PREVOD Z UCTU"}) {
            if (operation == other) return std::nullopt;
        }
        throw Malformed("unknown operation");
    }
};

}  // namespace bank

#endif
