//! The structs of the header, and how they become the engine's types.
#![allow(unsafe_code)]

use std::ffi::{c_char, c_void};

use engine::{
    ActiveProducer, Appended, Bounds, Committed, ErrorKind, GroupMetadata, Identity, OffsetAndMetadata, Offsets, Place,
    TopicPartition,
};

use crate::call::{Answer, Caller};
use crate::codes::ONCELOG_OFFSET_LEADER_EPOCH;
use crate::error::Fault;

/// A header of a record to send.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct oncelog_header_t {
    /// The name: UTF-8 that ends with NUL; it may come more than once.
    pub key: *const c_char,
    /// The value; NULL is null, which is not the same as empty.
    pub value: *const c_void,
    /// Bytes of the value.
    pub value_size: usize,
}

/// A record to send. Zero everything that is not used. It is borrowed for the call only: the bytes are copied once,
/// into the batch.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct oncelog_record_t {
    /// Chooses the partition unless `partition` does; NULL is null, which is not the same as empty.
    pub key: *const c_void,
    /// Bytes of the key.
    pub key_size: usize,
    /// The content; NULL is null and marks the key as deleted.
    pub value: *const c_void,
    /// Bytes of the value.
    pub value_size: usize,
    /// Headers, kept in this order; NULL if there are none.
    pub headers: *const oncelog_header_t,
    /// Number of headers.
    pub header_count: usize,
    /// Which of the next three count: `ONCELOG_RECORD_TIMESTAMP` and its like.
    pub fields: u32,
    /// The partition to go to; else the key or the producer chooses.
    pub partition: u32,
    /// Milliseconds since 1970, or -1 for none; else the clock's time.
    pub timestamp: i64,
    /// A named producer's position: strictly increasing, gaps allowed.
    pub position: u64,
}

/// A record that was read. It borrows from its `oncelog_records_t`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct oncelog_record_view_t {
    /// The topic's name; ends with NUL.
    pub topic: *const c_char,
    /// The partition's number in its topic.
    pub partition: u32,
    /// Number of headers; `oncelog_records_headers` answers them.
    pub header_count: u32,
    /// The record's offset in its partition.
    pub offset: u64,
    /// Milliseconds since 1970, -1 for none.
    pub timestamp: i64,
    /// The key; NULL for null. Does not end with NUL.
    pub key: *const c_void,
    /// Bytes of the key.
    pub key_size: usize,
    /// The value; NULL for null: the key is marked as deleted. Does not end with NUL.
    pub value: *const c_void,
    /// Bytes of the value.
    pub value_size: usize,
    /// For `oncelog_records_headers`.
    pub headers: usize,
}

/// A header that was read. It borrows from its `oncelog_records_t`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct oncelog_header_view_t {
    /// The name. Does not end with NUL.
    pub key: *const c_char,
    /// Bytes of the name.
    pub key_size: usize,
    /// The value; NULL for null. Does not end with NUL.
    pub value: *const c_void,
    /// Bytes of the value.
    pub value_size: usize,
}

/// Where an append went.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct oncelog_appended_t {
    /// Offset of the first record.
    pub first: u64,
    /// Offset of the last record.
    pub last: u64,
    /// The greatest timestamp of the batch, in milliseconds.
    pub timestamp: i64,
    /// The frame that holds the records; see `oncelog_wait_durable`.
    pub lsn: u64,
    /// The life of the log that answered.
    pub incarnation: u64,
    /// The partition's number in its topic.
    pub partition: u32,
    /// The records were here already and nothing was written: no error. A named producer's duplicate has no offsets.
    pub duplicate: bool,
}

impl From<&Appended> for oncelog_appended_t {
    fn from(appended: &Appended) -> Self {
        let &Appended { partition, first, last, timestamp, duplicate, lsn, incarnation } = appended;
        Self { first, last, timestamp, lsn, incarnation, partition, duplicate }
    }
}

/// What a committed transaction left.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct oncelog_committed_t {
    /// The transaction's number: it names this transaction for ever.
    pub number: u64,
    /// The frame that holds the transaction; 0 for one that was empty and wrote nothing.
    pub lsn: u64,
    /// The life of the log that answered.
    pub incarnation: u64,
}

impl From<Committed> for oncelog_committed_t {
    fn from(committed: Committed) -> Self {
        Self { number: committed.number, lsn: committed.lsn, incarnation: committed.incarnation }
    }
}

/// The ends of a partition.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct oncelog_bounds_t {
    /// The first offset that can be read.
    pub start: u64,
    /// The last stable offset: read_committed sees what lies below.
    pub stable: u64,
    /// The end: the offset that the next visible record will have.
    pub end: u64,
}

impl From<Bounds> for oncelog_bounds_t {
    fn from(bounds: Bounds) -> Self {
        Self { start: bounds.start, stable: bounds.stable, end: bounds.end }
    }
}

/// Where a reader stands: behind the records below an offset, as one life of the log showed them. It may be kept as
/// numbers; see `oncelog_records_next_place`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct oncelog_place_t {
    /// The life of the log that showed them.
    pub incarnation: u64,
    /// The frame that holds the last of them, or one that was no less safe; 0 for none.
    pub lsn: u64,
    /// The offset to read next.
    pub offset: u64,
}

impl From<Place> for oncelog_place_t {
    fn from(place: Place) -> Self {
        let Place { incarnation, lsn, offset } = place;
        Self { incarnation, lsn, offset }
    }
}

impl From<oncelog_place_t> for Place {
    fn from(place: oncelog_place_t) -> Self {
        let oncelog_place_t { incarnation, lsn, offset } = place;
        Self { incarnation, lsn, offset }
    }
}

/// A partition by its name.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct oncelog_topic_partition_t {
    /// The topic's name.
    pub topic: *const c_char,
    /// The partition's number in the topic, from 0.
    pub partition: u32,
}

impl oncelog_topic_partition_t {
    /// The engine's word for it.
    pub fn name(&self, caller: &Caller) -> Answer<TopicPartition> {
        Ok(TopicPartition::new(caller.text(self.topic, "topic")?, self.partition))
    }
}

/// A position in a partition, as it is committed. Zero everything that is not used.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct oncelog_offset_t {
    /// The topic's name.
    pub topic: *const c_char,
    /// The partition's number in the topic.
    pub partition: u32,
    /// `ONCELOG_OFFSET_LEADER_EPOCH` if `leader_epoch` counts.
    pub fields: u32,
    /// The offset to read next.
    pub offset: u64,
    /// Free text, at most 4,096 characters, counted in UTF-16 as Kafka counts them; NULL is the same as "". What another
    /// language stored with a NUL in it is told up to there.
    pub metadata: *const c_char,
    /// The leader epoch of the last record read, for callers that keep one.
    pub leader_epoch: i32,
}

/// Offsets as the engine takes them.
pub fn given_offsets(caller: &Caller, offsets: *const oncelog_offset_t, count: usize) -> Answer<Offsets> {
    let mut all = Offsets::new();
    for given in caller.array(offsets, count, "offsets")? {
        check_fields("oncelog_offset_t", given.fields, ONCELOG_OFFSET_LEADER_EPOCH)?;
        let name = TopicPartition::new(caller.text(given.topic, "topic")?, given.partition);
        let leader_epoch = if given.fields & ONCELOG_OFFSET_LEADER_EPOCH != 0 { given.leader_epoch } else { -1 };
        let metadata = caller.optional_text(given.metadata, "metadata")?.unwrap_or_default().to_owned();
        if let Some(other) = all.insert(name, OffsetAndMetadata { offset: given.offset, leader_epoch, metadata }) {
            let text = "a partition is named twice; name each once";
            let values = format!("partition={} offsets={},{}", given.partition, other.offset, given.offset);
            return Err(Fault::new(ErrorKind::InvalidArgument, format!("{text}, {values}")));
        }
    }
    Ok(all)
}

/// Refuses what a later version may give a meaning to.
pub fn check_fields(what: &str, fields: u32, known: u32) -> Answer {
    if fields & !known == 0 { Ok(()) } else { Err(unknown_fields(what, fields, known)) }
}

#[cold]
fn unknown_fields(what: &str, fields: u32, known: u32) -> Fault {
    let text = "sets bits in fields that this version does not know; zero the struct first";
    Fault::new(ErrorKind::InvalidArgument, format!("{what} {text}, fields={fields:#x} known={known:#x}"))
}

/// A raw producer's identity, for callers that keep sequences themselves.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct oncelog_identity_t {
    /// The producer id, issued by the engine.
    pub producer_id: i64,
    /// The producer epoch; an older one is fenced.
    pub epoch: i16,
}

impl From<Identity> for oncelog_identity_t {
    fn from(identity: Identity) -> Self {
        Self { producer_id: identity.producer_id, epoch: identity.epoch }
    }
}

impl From<oncelog_identity_t> for Identity {
    fn from(identity: oncelog_identity_t) -> Self {
        Self { producer_id: identity.producer_id, epoch: identity.epoch }
    }
}

/// Names the group whose offsets a transaction commits.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct oncelog_group_metadata_t {
    /// sizeof(oncelog_group_metadata_t), set by the caller.
    pub struct_size: u32,
    /// The group's name.
    pub group: *const c_char,
}

/// The group that a struct names.
pub fn group(caller: &Caller, group: *const oncelog_group_metadata_t) -> Answer<GroupMetadata> {
    Ok(GroupMetadata { group: caller.text(caller.options(group)?.group, "group")?.to_owned() })
}

/// A topic as it stands. It borrows from its `oncelog_topics_t`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct oncelog_topic_info_t {
    /// The name.
    pub name: *const c_char,
    /// The id; a topic created again under the same name gets another.
    pub id: [u8; 16],
    /// Number of partitions.
    pub partitions: u32,
    /// The topic's own level, one of `ONCELOG_DURABILITY_*`; 0 if it has none.
    pub durability: u32,
    /// Whose time its records carry, one of `ONCELOG_TIMESTAMP_*`.
    pub timestamp_type: u32,
}

/// A partition and an offset in it. It borrows from its list.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct oncelog_partition_offset_t {
    /// The topic's name.
    pub topic: *const c_char,
    /// The partition's number in its topic.
    pub partition: u32,
    /// The offset.
    pub offset: u64,
}

/// A transaction that is open and has something in the log: it holds the last stable offset of its partitions back. It
/// borrows from its `oncelog_open_transactions_t`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct oncelog_open_transaction_t {
    /// Its number.
    pub number: u64,
    /// Whose it is.
    pub transactional_id: *const c_char,
    /// The producer id and epoch of its batches.
    pub identity: oncelog_identity_t,
    /// When its first batch or offset came to the log, wall clock, milliseconds since 1970.
    pub since: i64,
    /// The partitions that hold records of it, each with the offset of the first: the last stable offset there is no
    /// greater.
    pub partitions: *const oncelog_partition_offset_t,
    /// How many of them.
    pub partition_count: usize,
    /// How long it may stay open, counted anew from each opening; `ONCELOG_FOREVER` if there is no end.
    pub timeout_ms: u32,
    /// True if its owner sends raw batches; false if it belongs to a transactional producer.
    pub raw: bool,
}

/// A producer that is active in a partition: what Kafka's DescribeProducers (KIP-664) tells of one. There are no
/// markers here, so a coordinator epoch has no meaning and is left out, and the end of a transaction changes nothing of
/// what its last batch left.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct oncelog_active_producer_t {
    /// The producer id, and the epoch of its last batch in this partition.
    pub identity: oncelog_identity_t,
    /// Sequence of the last record of that batch; -1 for a transactional producer, whose batches have no sequence.
    pub last_sequence: i32,
    /// The greatest timestamp of that batch, milliseconds since 1970, as its sender gave it, or the time of the append
    /// where the topic has that; -1 if it has none, and for a transactional producer.
    pub last_timestamp: i64,
    /// Offset of the first record here of the transaction that it has open; -1 if it has none open here.
    pub transaction_start_offset: i64,
}

impl From<ActiveProducer> for oncelog_active_producer_t {
    fn from(active: ActiveProducer) -> Self {
        Self {
            identity: active.identity.into(),
            last_sequence: active.last_sequence.unwrap_or(-1),
            last_timestamp: active.last_timestamp.unwrap_or(-1),
            transaction_start_offset: active.transaction_start_offset.map_or(-1, u64::cast_signed),
        }
    }
}

/// How far a group is behind in a partition, by the position of its consumer. It borrows from its
/// `oncelog_consumer_lags_t`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct oncelog_consumer_lag_t {
    /// The group.
    pub group: *const c_char,
    /// The topic's name.
    pub topic: *const c_char,
    /// The partition's number in its topic.
    pub partition: u32,
    /// The offset to read next. Of several consumers in one group, the least.
    pub position: u64,
    /// Records between the position and the end that the consumer sees.
    pub lag: u64,
}

/// Durable frames that are damaged on disk.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct oncelog_damage_t {
    /// First frame lost.
    pub first_lsn: u64,
    /// Last frame lost.
    pub last_lsn: u64,
    /// The file.
    pub file: *const c_char,
    /// The byte where the damage was met.
    pub position: u64,
    /// Only records are lost, no decision: appends go on.
    pub records_only: bool,
}

/// What opening a log found and did. Nothing is cut or lost without a word here. It belongs to the engine's handle.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct oncelog_opening_t {
    /// The life that this open began; 0 if it was opened for reading.
    pub incarnation: u64,
    /// Frames that were not known durable and were copied, so that they are now.
    pub frames_copied: u64,
    /// Bytes cut off the end: a tail that was never finished, or never known durable and damaged. Nothing in it had
    /// been acknowledged at level disk. 0 if nothing was cut.
    pub cut_bytes: u64,
    /// The last frame that was kept, if something was cut.
    pub cut_last_kept: u64,
    /// The last frame that could still be made out behind it; equal if none could.
    pub cut_last_seen: u64,
    /// Durable frames that are damaged.
    pub damage: *const oncelog_damage_t,
    /// How many of them.
    pub damage_count: usize,
    /// The log was made by this open.
    pub created: bool,
    /// Time it took to read the newest checkpoint and build the state from it, nanoseconds.
    pub loading_nanos: u64,
    /// Time it took to read and fold the frames behind that checkpoint, nanoseconds.
    pub folding_nanos: u64,
    /// Those frames; a handful of its own after a clean close.
    pub frames_folded: u64,
    /// Their bytes.
    pub bytes_folded: u64,
}

/// Says of a struct that it begins with its size and may be all zeros.
macro_rules! sized {
    ($($name:ident from $smallest:literal;)*) => {
        $(
            // SAFETY: integers, pointers and optional functions only, the first one `struct_size`.
            unsafe impl crate::call::Sized32 for $name {
                const SMALLEST: usize = $smallest;
                const NAME: &'static str = stringify!($name);
            }
            const _: () = assert!($smallest <= size_of::<$name>() && std::mem::offset_of!($name, struct_size) == 0);
        )*
    };
}
pub(crate) use sized;

sized! {
    oncelog_group_metadata_t from 16;
}
