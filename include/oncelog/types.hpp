// Texts, bytes, spans, and the plain values that calls take and answer. Part of oncelog.hpp.
// SPDX-License-Identifier: MIT OR Apache-2.0

#ifndef ONCELOG_TYPES_HPP
#define ONCELOG_TYPES_HPP

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "error.hpp"

namespace oncelog {

namespace detail {

/// Bytes as characters: what may be seen through a std::string_view.
template <class T>
inline constexpr bool is_byte = sizeof(T) == 1 && (std::is_integral_v<T> || std::is_same_v<T, std::byte>);

/// What `size` and `data` say of a container.
template <class C>
using element = std::remove_pointer_t<decltype(std::declval<C &>().data())>;

/// A text that is given to C. One that holds a NUL would name something else there, so it becomes one that is refused
/// with InvalidArgument.
inline const char *c_text(const std::string &text) noexcept {
    return text.find('\0') == std::string::npos ? text.c_str() : "\xff";
}

/// An optional text: empty is none.
inline const char *c_text_or_null(const std::string &text) noexcept { return text.empty() ? nullptr : c_text(text); }

/// A time for C: at least 0; what is longer than its largest number is for ever.
template <class R, class P>
std::uint32_t c_milliseconds(std::chrono::duration<R, P> time) noexcept {
    using Wide = std::chrono::duration<double, std::milli>;
    double wide = Wide(time).count();
    if (!(wide > 0)) return 0;
    // Rounded up: who waits for less than a millisecond still waits.
    auto whole = wide < ONCELOG_FOREVER ? static_cast<std::uint32_t>(wide) : ONCELOG_FOREVER;
    return whole < wide && whole < ONCELOG_FOREVER ? whole + 1 : whole;
}

}  // namespace detail

/// A name that is given to a call: a literal, or a std::string, UTF-8. It borrows until the call returns. There is no
/// way from a std::string_view, which need not end with a NUL.
class Text {
public:
    Text(const char *text) noexcept : c_(text) {}
    Text(const std::string &text) noexcept : c_(detail::c_text(text)) {}
    const char *c() const noexcept { return c_; }

private:
    const char *c_;
};

/// Bytes that somebody else owns, or null, which is not the same as none.
class Bytes {
public:
    /// Null.
    constexpr Bytes() noexcept = default;
    constexpr Bytes(std::nullptr_t) noexcept {}
    /// So many bytes; null if the pointer is.
    constexpr Bytes(const void *data, std::size_t size) noexcept : data_(data), size_(data == nullptr ? 0 : size) {}
    /// A text up to its NUL, which does not belong to it; null if the pointer is.
    Bytes(const char *text) noexcept : Bytes(text, text == nullptr ? 0 : std::strlen(text)) {}
    /// What a container of bytes holds: std::string, std::string_view, std::vector<std::uint8_t>, and their like. An
    /// empty one is empty, never null.
    template <class C, class = std::enable_if_t<detail::is_byte<std::remove_cv_t<detail::element<const C>>> &&
                                                !std::is_same_v<C, Bytes>>>
    Bytes(const C &bytes) noexcept : Bytes(static_cast<const void *>(bytes.data()), bytes.size()) {
        if (data_ == nullptr) data_ = "";
    }

    bool is_null() const noexcept { return data_ == nullptr; }
    bool empty() const noexcept { return size_ == 0; }
    std::size_t size() const noexcept { return size_; }
    const char *data() const noexcept { return static_cast<const char *>(data_); }
    const char *begin() const noexcept { return data(); }
    const char *end() const noexcept { return is_null() ? nullptr : data() + size_; }
    /// The bytes as a text; empty for null.
    std::string_view text() const noexcept { return is_null() ? std::string_view() : std::string_view(data(), size_); }
    /// A copy of the bytes; empty for null.
    std::string str() const { return std::string(text()); }

private:
    const void *data_ = nullptr;
    std::size_t size_ = 0;
};

/// The same bytes; null equals null alone.
inline bool operator==(Bytes one, Bytes other) noexcept {
    return one.is_null() == other.is_null() && one.text() == other.text();
}
inline bool operator!=(Bytes one, Bytes other) noexcept { return !(one == other); }

/// Objects that lie one after the other and that somebody else owns: an array, a std::vector, a list in braces.
template <class T>
class Span {
public:
    constexpr Span() noexcept = default;
    constexpr Span(const T *data, std::size_t size) noexcept : data_(data), size_(size) {}
    /// A list lives to the end of the call that it is written in.
    Span(std::initializer_list<T> list) noexcept : Span(list.begin(), list.size()) {}
    template <std::size_t N>
    constexpr Span(const T (&array)[N]) noexcept : data_(array), size_(N) {}
    template <class C, class = std::enable_if_t<std::is_same_v<std::remove_cv_t<detail::element<const C>>, T>>>
    Span(const C &container) noexcept : data_(container.data()), size_(container.size()) {}

    const T *data() const noexcept { return data_; }
    std::size_t size() const noexcept { return size_; }
    bool empty() const noexcept { return size_ == 0; }
    const T *begin() const noexcept { return data_; }
    const T *end() const noexcept { return data_ + size_; }
    const T &operator[](std::size_t index) const noexcept { return data_[index]; }

private:
    const T *data_ = nullptr;
    std::size_t size_ = 0;
};

/// When a write is acknowledged.
enum class Durability : std::uint32_t {
    /// What the place it is given to says.
    Default = ONCELOG_DEFAULT,
    /// When written to the operating system, flushed within a second: survives the death of the process.
    Os = ONCELOG_DURABILITY_OS,
    /// When flushed to the device: survives a power cut. The default of the engine.
    Disk = ONCELOG_DURABILITY_DISK,
    /// When placed in the engine's buffer, written within 10 ms or as soon as somebody reads it, flushed within a
    /// second: survives nothing, not even the death of the process. The weakest of the three.
    Memory = ONCELOG_DURABILITY_MEMORY,
};

/// What of the records that were appended readers see.
enum class Visibility : std::uint32_t {
    /// A record has met its topic's level. The default.
    Level = ONCELOG_VISIBILITY_LEVEL,
    /// A record is durable, whatever its topic's level: nothing that a power cut could take back.
    Durable = ONCELOG_VISIBILITY_DURABLE,
};

/// Whose time the records of a topic carry: Kafka's message.timestamp.type.
enum class TimestampType : std::uint32_t {
    /// The sender's: each record's own. The default.
    CreateTime = ONCELOG_TIMESTAMP_CREATE_TIME,
    /// The log's: every record of a batch has the clock's time at its append, whatever it was sent with.
    LogAppendTime = ONCELOG_TIMESTAMP_LOG_APPEND_TIME,
};

/// How batches are compressed: Kafka's codecs, with Kafka's numbers. Reading needs no setting.
enum class Compression : std::uint32_t {
    /// Not at all. The default.
    None = ONCELOG_COMPRESSION_NONE,
    /// Deflate at its usual level: small and slow.
    Gzip = ONCELOG_COMPRESSION_GZIP,
    /// Blocks of 32 KiB in the framing of Kafka's clients: quick, not very small.
    Snappy = ONCELOG_COMPRESSION_SNAPPY,
    /// One frame of independent blocks of 64 KiB: the quickest.
    Lz4 = ONCELOG_COMPRESSION_LZ4,
    /// Level 3: smaller than gzip and several times quicker.
    Zstd = ONCELOG_COMPRESSION_ZSTD,
};

/// Tells whether this build of the library has a codec: what it leaves out can be neither written nor unpacked, and
/// answers UnsupportedVersion. Any thread may ask, without a log.
///
/// Errors: InvalidArgument if there is no such codec.
inline Result<bool> compression_is_available(Compression compression) {
    bool available = false;
    auto *error = oncelog_compression_is_available(static_cast<std::uint32_t>(compression), &available);
    return detail::answer(error, [&] { return available; });
}

/// How a transaction of a raw identity is to end.
enum class Outcome : std::uint32_t {
    /// Its records and offsets become part of the log.
    Commit = ONCELOG_OUTCOME_COMMIT,
    /// They do not.
    Abort = ONCELOG_OUTCOME_ABORT,
};

/// How a transaction stands. Later versions may add some, so switches need a default.
enum class TransactionStatus : std::uint32_t {
    /// It is not decided.
    Open = ONCELOG_TRANSACTION_OPEN,
    /// Its records and offsets are part of the log.
    Committed = ONCELOG_TRANSACTION_COMMITTED,
    /// They never will be.
    Aborted = ONCELOG_TRANSACTION_ABORTED,
    /// Nothing is known of it: it was never begun, was aborted before anything of it lay in the log, or was decided so
    /// long ago that its transactional id has decided 64 others since.
    Forgotten = ONCELOG_TRANSACTION_FORGOTTEN,
};

/// Which records are seen.
enum class Isolation : std::uint32_t {
    /// Everything visible, records of open and aborted transactions included.
    ReadUncommitted = ONCELOG_ISOLATION_READ_UNCOMMITTED,
    /// Records outside transactions and of committed ones, up to the last stable offset. The default.
    ReadCommitted = ONCELOG_ISOLATION_READ_COMMITTED,
};

/// Where a consumer begins if nothing is committed.
enum class Start : std::uint32_t {
    /// With the first record there is. The default.
    Earliest = ONCELOG_START_EARLIEST,
    /// Behind the last record there is.
    Latest = ONCELOG_START_LATEST,
    /// Nowhere: poll() answers OffsetOutOfRange until seek() is called.
    None = ONCELOG_START_NONE,
};

/// Where an append went; its members are told in oncelog.h.
using Appended = oncelog_appended_t;
/// What a committed transaction left.
using Committed = oncelog_committed_t;
/// The ends of a partition: start, stable, end.
using Bounds = oncelog_bounds_t;
/// A raw producer's identity, for callers that keep sequences themselves: producer_id, epoch.
using Identity = oncelog_identity_t;
/// Where a reader stands: incarnation, lsn, offset. It may be kept as numbers; see Records::next_place().
using Place = oncelog_place_t;
/// How often values fell into each of a few ranges: count, sum, bounds, counts.
using Histogram = oncelog_histogram_t;
/// The bound of the bucket in which the share `q` of the values, from 0 to 1, is reached: no more than this share of
/// them was greater. None if there were none, or if it lies above all bounds.
inline Result<std::optional<std::uint64_t>> quantile(const Histogram &histogram, double q) {
    std::uint64_t value = 0;
    bool known = false;
    auto *error = oncelog_histogram_quantile(&histogram, q, &value, &known);
    return detail::answer(error, [&] { return known ? std::optional(value) : std::nullopt; });
}
/// How an open log stands and what it has done; its members are told in oncelog.h.
using Metrics = oncelog_metrics_t;

/// A partition by its name.
struct TopicPartition {
    std::string topic;
    /// The number in the topic, from 0.
    std::uint32_t partition = 0;
};

inline bool operator==(const TopicPartition &one, const TopicPartition &other) {
    return one.topic == other.topic && one.partition == other.partition;
}
inline bool operator!=(const TopicPartition &one, const TopicPartition &other) { return !(one == other); }
/// By topic, then by number: for maps.
inline bool operator<(const TopicPartition &one, const TopicPartition &other) {
    return std::tie(one.topic, one.partition) < std::tie(other.topic, other.partition);
}

/// A timestamp and the first offset that has it.
struct TimestampedOffset {
    std::uint64_t offset;
    /// Milliseconds since 1970.
    std::int64_t timestamp;
};

/// A position in a partition, as it is committed: `{{"orders", 0}, 17}`.
struct Offset {
    TopicPartition partition;
    /// The offset to read next.
    std::uint64_t offset = 0;
    /// Free text, at most 4,096 characters, counted in UTF-16 as Kafka counts them. What another language stored with a
    /// NUL in it is told up to there.
    std::string metadata = {};
    /// The leader epoch of the last record read, for callers that keep one.
    std::optional<std::int32_t> leader_epoch = {};
};

/// Names the group whose offsets a transaction commits.
struct GroupMetadata {
    std::string group;
};

/// A topic as it stands.
struct TopicInfo {
    std::string name;
    /// A topic created again under the same name has another.
    std::array<std::uint8_t, 16> id;
    /// Number of partitions.
    std::uint32_t partitions;
    /// The topic's own level; Default if it has none.
    Durability durability;
    /// Whose time its records carry.
    TimestampType timestamp_type;
};

/// A transaction that is open and has something in the log: it holds the last stable offset of its partitions back.
struct OpenTransaction {
    std::uint64_t number;
    /// Whose it is.
    std::string transactional_id;
    /// The producer id and epoch of its batches.
    Identity identity;
    /// When its first batch or offset came to the log, wall clock, milliseconds since 1970.
    std::int64_t since;
    /// How long it may stay open, counted anew from each opening; none: for ever.
    std::optional<std::chrono::milliseconds> timeout;
    /// True if its owner sends raw batches; false if it belongs to a TransactionalProducer.
    bool raw;
    /// The partitions that hold records of it, with the offset of the first: the last stable offset there is no
    /// greater.
    std::map<TopicPartition, std::uint64_t> partitions;
};

/// A producer that is active in a partition: what Kafka's DescribeProducers (KIP-664) tells of one. There are no
/// markers here, so a coordinator epoch has no meaning and is left out, and the end of a transaction changes nothing of
/// what its last batch left.
struct ActiveProducer {
    /// The producer id, and the epoch of its last batch in this partition.
    Identity identity;
    /// Sequence of the last record of that batch; none for a TransactionalProducer, whose batches have no sequence.
    std::optional<std::int32_t> last_sequence;
    /// The greatest timestamp of that batch, milliseconds since 1970, as its sender gave it, or the time of the append
    /// where the topic has that; none if it has none, and for a TransactionalProducer.
    std::optional<std::int64_t> last_timestamp;
    /// Offset of the first record here of the transaction that it has open; none if it has none open here.
    std::optional<std::uint64_t> transaction_start_offset;
};

/// How far a group is behind in a partition, by the position of its consumer.
struct ConsumerLag {
    std::string group;
    TopicPartition partition;
    /// The offset to read next. Of several consumers in one group, the least.
    std::uint64_t position;
    /// Records between the position and the end that the consumer sees.
    std::uint64_t lag;
};

/// Durable frames that are damaged on disk.
struct Damage {
    std::uint64_t first_lsn;
    std::uint64_t last_lsn;
    std::string file;
    /// The byte where the damage was met.
    std::uint64_t position;
    /// Only records are lost, no decision: appends go on.
    bool records_only;
};

/// What reading a log through found.
struct Verification {
    /// Segments read.
    std::uint64_t segments;
    /// Frames in them that are whole.
    std::uint64_t frames;
    /// Their bytes.
    std::uint64_t bytes;
    /// Durable frames that are damaged.
    std::vector<Damage> damage;
};

/// What opening a log found and did. Nothing is cut or lost without a word here.
struct Opening {
    /// The life that this open began; 0 if it was opened for reading.
    std::uint64_t incarnation;
    /// Frames that were not known durable and were copied, so that they are now.
    std::uint64_t frames_copied;
    /// Bytes cut off the end, none of them acknowledged at level disk; 0 if nothing was cut.
    std::uint64_t cut_bytes;
    /// The last frame that was kept, if something was cut.
    std::uint64_t cut_last_kept;
    /// The last frame that could still be made out behind it; equal if none could.
    std::uint64_t cut_last_seen;
    /// Durable frames that are damaged.
    std::vector<Damage> damage;
    /// The log was made by this open.
    bool created;
    /// Time it took to read the newest checkpoint and build the state from it.
    std::chrono::nanoseconds loading;
    /// Time it took to read and fold the frames behind that checkpoint.
    std::chrono::nanoseconds folding;
    /// Those frames; a handful of its own after a clean close.
    std::uint64_t frames_folded;
    /// Their bytes.
    std::uint64_t bytes_folded;
};

namespace detail {

/// A group as C takes it; it borrows.
inline oncelog_group_metadata_t c_group(const GroupMetadata &group) noexcept {
    oncelog_group_metadata_t made = {};
    made.struct_size = sizeof made;
    made.group = c_text(group.group);
    return made;
}

/// Offsets as C takes them; they borrow.
inline std::vector<oncelog_offset_t> c_offsets(Span<Offset> offsets) {
    std::vector<oncelog_offset_t> all;
    all.reserve(offsets.size());
    for (const Offset &from : offsets) {
        oncelog_offset_t to = {};
        to.topic = c_text(from.partition.topic);
        to.partition = from.partition.partition;
        to.offset = from.offset;
        to.metadata = c_text_or_null(from.metadata);
        to.fields = from.leader_epoch ? ONCELOG_OFFSET_LEADER_EPOCH : 0;
        to.leader_epoch = from.leader_epoch.value_or(0);
        all.push_back(to);
    }
    return all;
}

/// Names of partitions as C takes them; they borrow.
inline std::vector<oncelog_topic_partition_t> c_partitions(Span<TopicPartition> partitions) {
    std::vector<oncelog_topic_partition_t> all;
    all.reserve(partitions.size());
    for (const TopicPartition &one : partitions) all.push_back({c_text(one.topic), one.partition});
    return all;
}

/// Frees a handle and forgets what its function says.
template <class C, oncelog_error_t *(*Free)(C *)>
class Handle {
public:
    Handle() noexcept = default;
    explicit Handle(C *owned) noexcept : c_(owned) {}
    Handle(Handle &&other) noexcept : c_(std::exchange(other.c_, nullptr)) {}
    Handle &operator=(Handle &&other) noexcept {
        if (this != &other) {
            oncelog_error_free(free());
            c_ = std::exchange(other.c_, nullptr);
        }
        return *this;
    }
    ~Handle() { oncelog_error_free(free()); }

    C *get() const noexcept { return c_; }
    /// Frees the handle, but remembers its number: calls on it answer Closed from here on, and so does another free.
    oncelog_error_t *free() const noexcept { return c_ == nullptr ? nullptr : Free(c_); }

private:
    C *c_ = nullptr;
};

/// The offsets of a list that C gave, which ends here.
inline Result<std::vector<Offset>> given_offsets(oncelog_offsets_t *owned) {
    Handle<oncelog_offsets_t, oncelog_offsets_free> list(owned);
    const oncelog_offset_t *first = nullptr;
    std::size_t count = 0;
    if (auto *error = oncelog_offsets_get(list.get(), &first, &count)) return Error(error);
    std::vector<Offset> all;
    all.reserve(count);
    for (const oncelog_offset_t &from : Span<oncelog_offset_t>(first, count)) {
        Offset to = {{from.topic, from.partition}, from.offset};
        if (from.metadata != nullptr) to.metadata = from.metadata;
        if ((from.fields & ONCELOG_OFFSET_LEADER_EPOCH) != 0) to.leader_epoch = from.leader_epoch;
        all.push_back(std::move(to));
    }
    return all;
}

}  // namespace detail

}  // namespace oncelog

#endif
