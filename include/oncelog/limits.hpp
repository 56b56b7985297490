// The bounds that a caller meets. Part of oncelog.hpp.
// SPDX-License-Identifier: MIT OR Apache-2.0

#ifndef ONCELOG_LIMITS_HPP
#define ONCELOG_LIMITS_HPP

#include <chrono>
#include <cstddef>
#include <cstdint>

#include "../oncelog.h"

/// A value past one of these answers LimitExceeded, RecordTooLarge or InvalidArgument.
namespace oncelog::limits {

/// Longest topic name, bytes (Kafka's own bound).
inline constexpr std::size_t topic_name_max = ONCELOG_TOPIC_NAME_MAX;
/// Longest group name, producer name or transactional id, bytes.
inline constexpr std::size_t name_max = ONCELOG_NAME_MAX;
/// Longest metadata stored with an offset, characters as UTF-16 counts them (Kafka's offset.metadata.max.bytes).
inline constexpr std::size_t offset_metadata_max = ONCELOG_OFFSET_METADATA_MAX;
/// Most partitions one topic may have.
inline constexpr std::uint32_t topic_partitions_max = ONCELOG_TOPIC_PARTITIONS_MAX;
/// Most partitions a log may have, deleted ones not counted.
inline constexpr std::size_t partitions_max = ONCELOG_PARTITIONS_MAX;
/// Greatest offset.
inline constexpr std::uint64_t offset_max = ONCELOG_OFFSET_MAX;
/// Largest batch, bytes, header included (Kafka's max.message.bytes).
inline constexpr std::size_t batch_max = ONCELOG_BATCH_MAX;
/// Most bytes that the records of one compressed batch may unpack to. A read or a poll holds as many beyond its
/// `max_bytes`, and a consumer keeps as many for its next polls, of batches that polls of a few records ended in.
inline constexpr std::size_t unpacked_max = ONCELOG_UNPACKED_MAX;
/// Largest frame, bytes; the same as the largest allocation, since recovery holds a frame whole.
inline constexpr std::size_t frame_max = ONCELOG_FRAME_MAX;
/// Bytes that a producer without a name gathers before it closes its oldest batches (Kafka's buffer.memory, which waits
/// instead).
inline constexpr std::size_t producer_memory = ONCELOG_PRODUCER_MEMORY;
/// Memory of one transaction unless the options say otherwise; past it, it streams. Also what a named producer gathers.
inline constexpr std::size_t transaction_buffer = ONCELOG_TRANSACTION_BUFFER;
/// Largest buffer that the options may give one transaction.
inline constexpr std::size_t transaction_buffer_max = ONCELOG_TRANSACTION_BUFFER_MAX;
/// Memory of all open transactions' buffers together unless the options say otherwise.
inline constexpr std::size_t transaction_memory = ONCELOG_TRANSACTION_MEMORY;
/// Partitions that a transaction may reach with batches that lie in the log before its decision.
inline constexpr std::size_t transaction_partitions = ONCELOG_TRANSACTION_PARTITIONS;
/// Offsets that a raw transaction may have pending.
inline constexpr std::size_t transaction_offsets = ONCELOG_TRANSACTION_OFFSETS;
/// Transactions that may be open with something in the log.
inline constexpr std::size_t open_transactions = ONCELOG_OPEN_TRANSACTIONS;
/// Smallest segment, bytes.
inline constexpr std::uint64_t segment_min = ONCELOG_SEGMENT_MIN;
/// Segment size unless the options say otherwise.
inline constexpr std::uint64_t segment_default = ONCELOG_SEGMENT_DEFAULT;
/// Largest size that segments may be told to grow to.
inline constexpr std::uint64_t segment_option_max = ONCELOG_SEGMENT_OPTION_MAX;
/// How long a transaction may be open in the log unless the options say otherwise (Kafka's transaction.timeout.ms).
inline constexpr std::chrono::milliseconds transaction_timeout{ONCELOG_TRANSACTION_TIMEOUT_MS};
/// The longest that may be asked for, unless the options say otherwise (Kafka's transaction.max.timeout.ms).
inline constexpr std::chrono::milliseconds transaction_timeout_max{ONCELOG_TRANSACTION_TIMEOUT_MAX_MS};

}  // namespace oncelog::limits

#endif
