// Records that were read. Part of oncelog.hpp.
// SPDX-License-Identifier: MIT OR Apache-2.0

#ifndef ONCELOG_RECORDS_HPP
#define ONCELOG_RECORDS_HPP

#include <array>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <optional>
#include <string_view>
#include <vector>

#include "types.hpp"

namespace oncelog {

/// A header that was read. Borrows from its Records; may be copied and kept as long as they live.
class HeaderView {
public:
    explicit HeaderView(const oncelog_header_view_t &c) noexcept : c_(c) {}
    /// The name: UTF-8, unless a Kafka client made the batch, whose names may have any bytes.
    std::string_view key() const noexcept { return Bytes(c_.key, c_.key_size).text(); }
    /// The value; null for null.
    Bytes value() const noexcept { return Bytes(c_.value, c_.value_size); }

private:
    oncelog_header_view_t c_;
};

/// A record's headers, in the order they were sent: `for (HeaderView header : headers)`. They borrow from their
/// Records. A few lie in the object itself, so asking for them allocates nothing here.
class Headers {
public:
    class Iterator {
    public:
        using iterator_category = std::input_iterator_tag;
        using value_type = HeaderView;
        using difference_type = std::ptrdiff_t;
        using pointer = void;
        using reference = HeaderView;

        explicit Iterator(const oncelog_header_view_t *at = nullptr) noexcept : at_(at) {}
        HeaderView operator*() const noexcept { return HeaderView(*at_); }
        Iterator &operator++() noexcept { return ++at_, *this; }
        Iterator operator++(int) noexcept { return Iterator(at_++); }
        friend bool operator==(Iterator one, Iterator other) noexcept { return one.at_ == other.at_; }
        friend bool operator!=(Iterator one, Iterator other) noexcept { return one.at_ != other.at_; }

    private:
        const oncelog_header_view_t *at_;
    };

    Iterator begin() const noexcept { return Iterator(data()); }
    Iterator end() const noexcept { return Iterator(data() + size()); }
    std::size_t size() const noexcept { return many_.empty() ? size_ : many_.size(); }
    bool empty() const noexcept { return size() == 0; }
    /// One of them; `index` must be below size().
    HeaderView operator[](std::size_t index) const noexcept { return HeaderView(data()[index]); }
    /// The last header of a name, which is the one that counts where a name comes twice.
    std::optional<HeaderView> find(std::string_view key) const noexcept {
        for (std::size_t at = size(); at > 0; --at) {
            if ((*this)[at - 1].key() == key) return (*this)[at - 1];
        }
        return std::nullopt;
    }

private:
    friend class RecordView;
    const oncelog_header_view_t *data() const noexcept { return many_.empty() ? few_.data() : many_.data(); }
    oncelog_header_view_t *room(std::size_t size) {
        if (size > few_.size()) return many_.resize(size), many_.data();
        size_ = size;
        return few_.data();
    }

    /// How many of the few count, if there are not many: so headers that were moved from are empty, or as they were.
    std::size_t size_ = 0;
    std::array<oncelog_header_view_t, 4> few_ = {};
    std::vector<oncelog_header_view_t> many_;
};

/// A record that was read. Borrows from its Records; may be copied and kept as long as they live, wherever they are
/// moved to.
class RecordView {
public:
    RecordView(const oncelog_records_t *records, const oncelog_record_view_t &c) noexcept : records_(records), c_(c) {}

    /// The topic's name; ends with NUL.
    const char *topic() const noexcept { return c_.topic; }
    /// The partition's number in its topic.
    std::uint32_t partition() const noexcept { return c_.partition; }
    /// The offset in its partition.
    std::uint64_t offset() const noexcept { return c_.offset; }
    /// Milliseconds since 1970, -1 for none.
    std::int64_t timestamp() const noexcept { return c_.timestamp; }
    /// The key; null for null.
    Bytes key() const noexcept { return Bytes(c_.key, c_.key_size); }
    /// The value; null for null, which marks the key as deleted.
    Bytes value() const noexcept { return Bytes(c_.value, c_.value_size); }
    /// How many headers there are.
    std::uint32_t header_count() const noexcept { return c_.header_count; }
    /// The headers. Names are UTF-8, but for those of batches that a Kafka client made, which may have any bytes.
    ///
    /// Errors: Busy while another thread goes on in the records.
    Result<Headers> headers() const {
        Headers made;
        if (c_.header_count == 0) return made;
        auto *error = oncelog_records_headers(records_, &c_, made.room(c_.header_count), c_.header_count);
        if (error != nullptr) return Error(error);
        return made;
    }

private:
    const oncelog_records_t *records_;
    oncelog_record_view_t c_;
};

/// Records as a read or a poll answered them, of one partition or of several, or as batch_records() found them in a
/// batch. They own their bytes, so they may be kept after the engine is closed. One thread walks them at a time.
///
/// They are walked in the order of their offsets, one partition after the other. A loop that is left early is gone on
/// with by the next one, and behind the last record there is nothing until rewind(). There are three ways:
///
///     for (RecordView record : records) ...              // throws Corrupt where bytes are damaged, or aborts
///     records.each([&](RecordView record) { ... })       // answers Corrupt
///     while (auto record = records.next().value()) ...   // one by one
///
/// Each batch is verified by its checksum before a record of it is given out. After an error the next walk goes on
/// behind what is damaged. Nothing is copied; nothing is allocated or called per record.
class Records {
public:
    class Iterator;

    /// The next record; none behind the last.
    ///
    /// Errors: Corrupt where bytes are damaged: it names the offsets, and the next call goes on behind them. Busy while
    /// another thread walks.
    Result<std::optional<RecordView>> next() {
        const oncelog_record_view_t *view = nullptr;
        if (auto *error = step(&view)) return Error(error);
        if (view == nullptr) return std::optional<RecordView>();
        return std::optional<RecordView>(RecordView(c_.get(), *view));
    }

    /// Calls `f` with each record that is left. If `f` answers a Result<void>, an error in it ends the walk and is
    /// answered; the next walk goes on behind that record.
    ///
    /// Errors: as next(); those of `f`.
    template <class F>
    Result<void> each(F f) {
        for (;;) {
            const oncelog_record_view_t *view = nullptr;
            if (auto *error = step(&view)) return Error(error);
            if (view == nullptr) return {};
            if constexpr (std::is_void_v<decltype(f(std::declval<RecordView>()))>) {
                f(RecordView(c_.get(), *view));
            } else {
                if (Result<void> answer = f(RecordView(c_.get(), *view)); !answer) return answer;
            }
        }
    }

    /// Goes back to the first record. Views that were given out stay good.
    ///
    /// Errors: Busy while another thread walks.
    Result<void> rewind() {
        auto *error = oncelog_records_rewind(c_.get());
        if (error == nullptr) at_ = end_ = nullptr;
        return detail::answer(error);
    }

    /// The next record, for a range-for.
    Iterator begin();
    Iterator end() noexcept;

    /// Number of records, damaged ones and those that were walked included. Nothing is decoded for it.
    Result<std::uint64_t> count() const {
        std::uint64_t count = 0;
        return detail::answer(oncelog_records_count(c_.get(), &count), [&] { return count; });
    }

    /// Bytes held as they lie in the log, those of hidden records included. What compressed batches unpacked to comes
    /// on top.
    Result<std::size_t> bytes() const {
        std::size_t bytes = 0;
        return detail::answer(oncelog_records_bytes(c_.get(), &bytes), [&] { return bytes; });
    }

    /// The offset to read next of a partition; none if these records hold nothing of it. An answer to a read that has
    /// no record names the offset that was asked for, or the one behind what was aborted there.
    Result<std::optional<std::uint64_t>> next_offset(Text topic, std::uint32_t partition) const {
        std::uint64_t offset = 0;
        bool known = false;
        auto *error = oncelog_records_next_offset(c_.get(), topic.c(), partition, &offset, &known);
        return detail::answer(error, [&] { return known ? std::optional(offset) : std::nullopt; });
    }

    /// The offset to read next of every partition that these records hold something of, if only something damaged.
    Result<std::vector<Offset>> next_offsets() const {
        oncelog_offsets_t *made = nullptr;
        if (auto *error = oncelog_records_next_offsets(c_.get(), &made)) return Error(error);
        return detail::given_offsets(made);
    }

    /// Where a reader of a partition stands behind these records: what next_offset() says and how it can be told, in a
    /// later life of the log too, whether the records before are still there. Give it to a read by ReadOptions::from().
    /// None if these records hold nothing of the partition.
    Result<std::optional<Place>> next_place(Text topic, std::uint32_t partition) const {
        Place place = {};
        bool known = false;
        auto *error = oncelog_records_next_place(c_.get(), topic.c(), partition, &place, &known);
        return detail::answer(error, [&] { return known ? std::optional(place) : std::nullopt; });
    }

    /// Takes over records of the C interface of which none was walked.
    explicit Records(oncelog_records_t *owned) noexcept : c_(owned) {}
    Records(Records &&other) noexcept : c_(std::move(other.c_)) { take(other); }
    Records &operator=(Records &&other) noexcept {
        c_ = std::move(other.c_);
        if (this != &other) take(other);
        return *this;
    }
    /// The C interface's handle. It stays this object's, which does not know of what is walked there.
    oncelog_records_t *c() const noexcept { return c_.get(); }

private:
    void take(Records &other) noexcept {
        at_ = std::exchange(other.at_, nullptr);
        end_ = std::exchange(other.end_, nullptr);
    }
    /// Goes one record on; leaves `view` as it is behind the last.
    oncelog_error_t *step(const oncelog_record_view_t **view) {
        if (at_ == end_) {
            std::size_t count = 0;
            at_ = end_ = nullptr;
            if (auto *error = oncelog_records_next(c_.get(), &at_, &count)) return error;
            end_ = at_ + count;
            if (count == 0) return nullptr;
        }
        *view = at_++;
        return nullptr;
    }

    detail::Handle<oncelog_records_t, oncelog_records_free> c_;
    /// What is left of the array that was answered last.
    const oncelog_record_view_t *at_ = nullptr;
    const oncelog_record_view_t *end_ = nullptr;
};

/// Walks what is left of records.
class Records::Iterator {
public:
    using iterator_category = std::input_iterator_tag;
    using value_type = RecordView;
    using difference_type = std::ptrdiff_t;
    using pointer = void;
    using reference = RecordView;

    /// The end.
    Iterator() noexcept = default;
    /// The next record of these. Throws Corrupt if that is damaged; without exceptions, aborts.
    explicit Iterator(Records &records) : records_(&records) { ++*this; }

    RecordView operator*() const noexcept { return RecordView(records_->c(), *view_); }
    Iterator &operator++() {
        view_ = nullptr;
        if (auto *error = records_->step(&view_)) detail::fail(Error(error));
        return *this;
    }
    /// Gives the record; the step is made at once.
    class Kept {
    public:
        explicit Kept(RecordView view) noexcept : view_(view) {}
        RecordView operator*() const noexcept { return view_; }

    private:
        RecordView view_;
    };
    Kept operator++(int) {
        Kept kept(**this);
        ++*this;
        return kept;
    }
    /// Equal if both are at the end, or both are not.
    friend bool operator==(const Iterator &one, const Iterator &other) noexcept { return one.view_ == other.view_; }
    friend bool operator!=(const Iterator &one, const Iterator &other) noexcept { return one.view_ != other.view_; }

private:
    Records *records_ = nullptr;
    const oncelog_record_view_t *view_ = nullptr;
};

/// What stands in front of the records of a batch of Kafka's format 2; its members are told in oncelog.h.
using BatchHeader = oncelog_batch_header_t;

/// The header of a batch of Kafka's format 2 as a client encoded it, after the checks that Partition::append_batch()
/// makes. It is told as an append would write it: a wrong greatest timestamp is set right, and the bit is cleared that
/// claims the log's time.
///
/// Errors: Corrupt, InvalidRecord, RecordTooLarge, UnsupportedVersion as Partition::append_batch().
inline Result<BatchHeader> batch_header(Bytes batch) {
    BatchHeader header = {};
    return detail::answer(oncelog_batch_header(batch.data(), batch.size(), &header), [&] { return header; });
}

/// The records of such a batch, unpacked if they are compressed, with offsets from 0; their topic is "", their
/// partition 0, and no next offset or place of any partition is known of them. They own a copy of the bytes.
///
/// Errors: as batch_header().
inline Result<Records> batch_records(Bytes batch) {
    oncelog_records_t *records = nullptr;
    auto *error = oncelog_batch_records(batch.data(), batch.size(), &records);
    return detail::answer(error, [&] { return Records(records); });
}

inline Records::Iterator Records::begin() { return Iterator(*this); }
inline Records::Iterator Records::end() noexcept { return Iterator(); }

}  // namespace oncelog

#endif
