// Records to send. Part of oncelog.hpp.
// SPDX-License-Identifier: MIT OR Apache-2.0

#ifndef ONCELOG_RECORD_HPP
#define ONCELOG_RECORD_HPP

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <vector>

#include "types.hpp"

namespace oncelog {

/// A header of a record to send. Borrows both.
class Header {
public:
    /// A name, which may come more than once in a record, and its value, which may be null.
    Header(Text key, Bytes value) noexcept : c_{key.c(), value.data(), value.size()} {}
    /// As C takes it.
    const oncelog_header_t &c() const noexcept { return c_; }

private:
    oncelog_header_t c_;
};

/// A record to send: `Record("3 apples").key("order-17")`. Borrows everything it is given until the call that it is
/// given to returns, so it is best written where it is sent; a Batch copies.
class Record {
public:
    /// A record with this value; null marks the key as deleted.
    explicit Record(Bytes value = nullptr) noexcept {
        c_.value = value.data();
        c_.value_size = value.size();
    }
    /// A record that marks a key as deleted.
    static Record tombstone(Bytes key) noexcept { return Record().key(key); }

    /// Chooses the partition unless partition() does.
    Record &key(Bytes key) noexcept {
        c_.key = key.data();
        c_.key_size = key.size();
        return *this;
    }
    /// Headers, kept in this order. A list in braces lives to the end of the statement, like everything borrowed.
    Record &headers(Span<Header> headers) noexcept {
        static_assert(sizeof(Header) == sizeof(oncelog_header_t) && std::is_standard_layout_v<Header>);
        c_.headers = headers.empty() ? nullptr : &headers.data()->c();
        c_.header_count = headers.size();
        return *this;
    }
    /// Milliseconds since 1970, or -1 for none. Default: the clock's time.
    Record &timestamp(std::int64_t milliseconds) noexcept {
        c_.timestamp = milliseconds;
        return field(ONCELOG_RECORD_TIMESTAMP);
    }
    /// The partition to go to. Default: the key or the producer chooses.
    Record &partition(std::uint32_t number) noexcept {
        c_.partition = number;
        return field(ONCELOG_RECORD_PARTITION);
    }
    /// A named producer's position: strictly increasing, gaps allowed.
    Record &position(std::uint64_t position) noexcept {
        c_.position = position;
        return field(ONCELOG_RECORD_POSITION);
    }
    /// As C takes it.
    const oncelog_record_t &c() const noexcept { return c_; }

private:
    Record &field(std::uint32_t field) noexcept {
        c_.fields |= field;
        return *this;
    }

    oncelog_record_t c_ = {};
};

/// Records that own their bytes: they are copied in, so that what they were made from may go. Used again after clear()
/// it keeps its memory. Where the bytes stay anyway, an array of Record saves the copy.
class Batch {
public:
    /// Copies a record in, with its headers. Answers the batch: `batch.add(Record("a")).add(Record("b"))`.
    Batch &add(const Record &record) {
        oncelog_record_t own = record.c();
        own.key = copy(own.key, own.key_size);
        own.value = copy(own.value, own.value_size);
        if (own.header_count > 0) {
            auto size = own.header_count * sizeof(oncelog_header_t);
            auto *headers = reinterpret_cast<oncelog_header_t *>(take(size));
            std::memcpy(headers, own.headers, size);
            for (std::size_t at = 0; at < own.header_count; ++at) {
                oncelog_header_t &header = headers[at];
                if (header.key != nullptr) header.key = copy(header.key, std::strlen(header.key) + 1);
                header.value = copy(header.value, header.value_size);
            }
            own.headers = headers;
        }
        records_.push_back(own);
        return *this;
    }
    /// Room for so many records.
    Batch &reserve(std::size_t records) {
        records_.reserve(records);
        return *this;
    }
    /// Forgets the records and keeps the memory of the largest block.
    void clear() noexcept {
        records_.clear();
        if (blocks_.size() > 1) blocks_.erase(blocks_.begin(), blocks_.end() - 1);
        used_ = 0;
    }
    std::size_t size() const noexcept { return records_.size(); }
    bool empty() const noexcept { return records_.empty(); }
    /// As C takes them.
    const oncelog_record_t *c() const noexcept { return records_.data(); }

private:
    /// Memory whose address stays as it is.
    struct Block {
        std::unique_ptr<std::max_align_t[]> memory;
        std::size_t size = 0;
    };

    template <class T>
    T *copy(T *from, std::size_t size) {
        if (from == nullptr) return nullptr;
        char *to = take(size);
        if (size > 0) std::memcpy(to, from, size);
        return reinterpret_cast<T *>(to);
    }
    char *take(std::size_t size) {
        constexpr std::size_t unit = sizeof(std::max_align_t);
        std::size_t units = size / unit + 1;
        if (blocks_.empty() || blocks_.back().size - used_ < units) {
            std::size_t twice = blocks_.empty() ? 4096 / unit : blocks_.back().size * 2;
            Block block;
            block.size = (std::max)(twice, units);
            block.memory.reset(new std::max_align_t[block.size]);
            blocks_.push_back(std::move(block));
            used_ = 0;
        }
        auto *at = blocks_.back().memory.get() + used_;
        used_ += units;
        return reinterpret_cast<char *>(at);
    }

    std::vector<oncelog_record_t> records_;
    std::vector<Block> blocks_;
    /// Of the last block, which is the largest.
    std::size_t used_ = 0;
};

namespace detail {

/// The records of an array as C takes them: a Record is an oncelog_record_t and nothing else.
inline const oncelog_record_t *c_records(Span<Record> records) noexcept {
    static_assert(sizeof(Record) == sizeof(oncelog_record_t) && std::is_standard_layout_v<Record>);
    return records.empty() ? nullptr : &records.data()->c();
}

}  // namespace detail

}  // namespace oncelog

#endif
