//! The heads of all frames but records and transactions. Each is one struct with `read` and `write`; the order of the
//! fields is the order of the bytes (FORMAT.md section 5).

use super::bytes::{Put, Reader};
use super::topic_config::TopicConfig;

macro_rules! heads {
    ($($(#[$doc:meta])* $name:ident { $($(#[$fdoc:meta])* $field:ident: $t:ident),* $(,)? })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
        pub struct $name { $($(#[$fdoc])* pub $field: heads!(@type $t),)* }
        impl $name {
            /// Takes the head off a reader; a longer head, of a newer compatible version, is read by its known prefix.
            pub fn read(from: &mut Reader<'_>) -> Option<Self> {
                Some(Self { $($field: heads!(@read from $t),)* })
            }
            /// Appends the head.
            pub fn write(&self, to: &mut Vec<u8>) {
                $(heads!(@write to $t self.$field);)*
            }
        }
    )*};
    (@type place) => { Place };
    (@type count) => { u64 };
    (@type id) => { [u8; 16] };
    (@type $t:ident) => { $t };
    (@read $f:ident place) => { Place::read($f)? };
    (@read $f:ident id) => { $f.id()? };
    (@read $f:ident $t:ident) => { $f.$t()? };
    (@write $o:ident place $v:expr) => { $v.write($o) };
    (@write $o:ident count $v:expr) => { $o.u64($v) };
    (@write $o:ident id $v:expr) => { $o.raw(&$v) };
    (@write $o:ident $t:ident $v:expr) => { $o.$t($v) };
}

/// A byte of the journal: segment number, byte in the segment. Zero: none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Place {
    /// Number of the segment.
    pub segment: u64,
    /// Byte in the segment.
    pub position: u64,
}

impl Place {
    /// Takes a place off a reader.
    pub fn read(from: &mut Reader<'_>) -> Option<Self> {
        Some(Self { segment: from.count()?, position: from.count()? })
    }
    /// Appends the place.
    pub fn write(&self, to: &mut Vec<u8>) {
        to.u64(self.segment).u64(self.position);
    }
}

heads! {
    /// First frame of a segment: what it follows. It takes no number of its own: its LSN field repeats `lsn`, so that a
    /// copied tail keeps its numbers.
    Link {
        /// Number of the segment before; 0 for the first.
        segment: count,
        /// Its generation.
        generation: u32,
        /// 1: made by a recovery, counts only if the frames up to its `recovered` are whole. 0: made by a roll.
        recovery: u32,
        /// Where the predecessor ends: the byte after its last frame.
        end: count,
        /// LSN of the predecessor's last frame.
        lsn: count,
        /// Checksum of that frame.
        checksum: u32,
        /// 1: transactions may be open here, so what this segment holds of them may begin and end elsewhere.
        undecided: u32,
        /// The life that made this segment.
        incarnation: count,
        /// LSN of the newest durable checkpoint, 0 for none.
        checkpoint_lsn: count,
        /// Its last part.
        checkpoint: place,
        /// LSN of the checkpoint before that.
        older_lsn: count,
        /// Its last part.
        older: place,
    }
    /// A life that writes begins.
    Opened {
        /// The life.
        incarnation: count,
        /// First transaction number of its block.
        first_number: count,
        /// How many numbers the block holds.
        numbers: count,
        /// First producer id that this life may issue.
        first_producer_id: u64,
        /// Wall clock, milliseconds.
        wall_ms: u64,
    }
    /// Closes the copy of a tail.
    Recovered {
        /// The life that was cut.
        incarnation: count,
        /// Last LSN that was known durable: what the segment's link names.
        durable_lsn: count,
        /// Last LSN that was kept.
        last_lsn: count,
        /// Bytes cut behind it.
        cut_bytes: count,
        /// Greatest LSN seen in what was cut, 0 if no frame was.
        cut_lsn: count,
        /// First LSN of a range whose loss the user accepted, 0 if none.
        lost_first: count,
        /// Last LSN of it.
        lost_last: count,
    }
    /// A rewritten segment counts from here on.
    Replaced {
        /// Number of the segment.
        segment: count,
        /// Generation that is replaced.
        old_generation: u32,
        /// Generation that counts now.
        new_generation: u32,
        /// Salt of the new file.
        salt: u64,
        /// Size of the new file.
        size: count,
    }
    /// A segment nobody needs may be deleted.
    Retired {
        /// Number of the segment.
        segment: count,
        /// Its generation.
        generation: u32,
        /// Zero.
        reserved: u32,
    }
    /// One part of a checkpoint; the entries are the body.
    CheckpointHead {
        /// The state is as of this LSN.
        lsn: count,
        /// Number of this part, from 1.
        part: u32,
        /// How many parts there are.
        parts: u32,
        /// Where frame lsn + 1 lies or will lie.
        next: place,
        /// The part before this one; zero for part 1.
        previous: place,
    }
    /// Partitions were added to a topic.
    PartitionsAdded {
        /// The topic.
        topic: id,
        /// Instance of the first new partition; the others follow.
        first_instance: u32,
        /// How many.
        count: u32,
        /// Number of the first new partition: where it is not the topic's next, frames before this one are lost.
        first_partition: u32,
        /// Zero.
        reserved: u32,
    }
    /// A topic is gone, with its records and everything committed for it.
    TopicDeleted {
        /// The topic.
        topic: id,
    }
    /// A transaction has something in the log before its decision.
    Begun {
        /// The producer id of its batches.
        producer_id: u64,
        /// The producer epoch of its batches.
        epoch: u16,
        /// `BEGUN_RAW`, `BEGUN_KEPT`.
        flags: u16,
        /// How long it may be open, milliseconds; 0: for ever.
        timeout_ms: u32,
        /// The transaction's number.
        number: count,
        /// Wall clock, milliseconds.
        wall_ms: u64,
    }
    /// Offsets that a transaction will commit; the block is the body.
    PendingHead {
        /// The transaction's number.
        number: count,
        /// The producer id that sent them.
        producer_id: u64,
    }
    /// A name or a raw producer's registration is gone.
    ProducerDeleted {
        /// The producer id.
        producer_id: u64,
    }
}

/// The transaction's owner keeps its own identity and sends its own batches.
pub const BEGUN_RAW: u16 = 1;
/// It stays open when the log is opened again.
pub const BEGUN_KEPT: u16 = 2;

/// A topic was created.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct TopicCreated<'a> {
    pub topic: [u8; 16],
    /// Instance of partition 0; the others follow.
    pub first_instance: u32,
    pub partitions: u32,
    /// 0 none, 1 memory, 2 os, 3 disk.
    pub durability: u8,
    /// 0 native, 1 mirrored.
    pub partition_kind: u8,
    pub name: &'a str,
    pub config: TopicConfig,
}

impl<'a> TopicCreated<'a> {
    /// Reads head and body.
    pub fn read(head: &mut Reader<'_>, body: &mut Reader<'a>) -> Option<Self> {
        Some(Self {
            topic: head.id()?,
            first_instance: head.u32()?,
            partitions: head.u32()?,
            durability: head.u8()?,
            partition_kind: head.u8()?,
            name: body.text()?,
            config: TopicConfig::read(body)?,
        })
    }
    /// Appends head and body.
    pub fn write(&self, head: &mut Vec<u8>, body: &mut Vec<u8>) {
        head.raw(&self.topic).u32(self.first_instance).u32(self.partitions);
        head.u8(self.durability).u8(self.partition_kind).raw(&[0; 6]);
        body.text(self.name);
        self.config.write(body);
    }
}

/// A producer got an id or a newer epoch: the fence, durable before anybody hears of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct ProducerOpened<'a> {
    pub producer_id: i64,
    /// The id this name had before, if its epochs were used up; -1 else.
    pub previous_id: i64,
    pub epoch: i16,
    /// The epoch before, if its holder may repeat the call that raised it; -1 else.
    pub last_epoch: i16,
    /// Transaction timeout in milliseconds, 0 = none.
    pub timeout_ms: u32,
    /// Empty for a raw producer without a transactional id.
    pub name: &'a str,
}

impl<'a> ProducerOpened<'a> {
    /// Reads head and body.
    pub fn read(head: &mut Reader<'_>, body: &mut Reader<'a>) -> Option<Self> {
        let (producer_id, previous_id) = (head.u64()? as i64, head.u64()? as i64);
        let epoch = head.u16()? as i16;
        let last_epoch = (head.u16()? as i16).wrapping_sub(1);
        Some(Self { producer_id, previous_id, epoch, last_epoch, timeout_ms: head.u32()?, name: body.text()? })
    }
    /// Appends head and body.
    pub fn write(&self, head: &mut Vec<u8>, body: &mut Vec<u8>) {
        head.u64(self.producer_id as u64).u64(self.previous_id as u64);
        head.u16(self.epoch as u16).u16(self.last_epoch.wrapping_add(1) as u16).u32(self.timeout_ms);
        body.text(self.name);
    }
}

/// Committed offsets of any number of groups: `commit time i64, groups u32`, then per group `name, entries u32`, then
/// per entry `topic id, partition u32, offset u64, leader epoch i32, metadata`.
#[derive(Clone, Copy, Debug)]
pub struct OffsetsBlock<'a> {
    bytes: &'a [u8],
}

/// One committed position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct OffsetEntry<'a> {
    pub group: &'a str,
    pub topic: [u8; 16],
    pub partition: u32,
    pub offset: u64,
    pub leader_epoch: i32,
    pub metadata: &'a str,
}

impl<'a> OffsetsBlock<'a> {
    /// No offsets.
    pub const EMPTY: OffsetsBlock<'static> = OffsetsBlock { bytes: &[] };

    /// Takes a block whose every entry can be read; `None` otherwise.
    pub fn read(bytes: &'a [u8]) -> Option<Self> {
        let block = OffsetsBlock { bytes };
        block.walk(|_| ())?;
        Some(block)
    }

    /// True if nothing was committed.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Calls `f` for each entry in order.
    pub fn for_each(&self, f: impl FnMut(OffsetEntry<'a>)) {
        self.walk(f);
    }

    fn walk(&self, mut f: impl FnMut(OffsetEntry<'a>)) -> Option<()> {
        if self.bytes.is_empty() {
            return Some(());
        }
        let mut from = Reader::new(self.bytes);
        from.u64()?;
        for _ in 0..from.u32()? {
            let group = from.text()?;
            for _ in 0..from.u32()? {
                f(OffsetEntry {
                    group,
                    topic: from.id()?,
                    partition: from.u32()?,
                    offset: from.u64()?,
                    leader_epoch: from.u32()? as i32,
                    metadata: from.text()?,
                });
            }
        }
        from.rest().is_empty().then_some(())
    }

    /// Appends a block of several groups; each group's entries must carry its name.
    pub fn write(to: &mut Vec<u8>, wall_ms: i64, groups: &[(&str, Vec<OffsetEntry<'_>>)]) {
        to.u64(wall_ms as u64).u32(groups.len() as u32);
        for (group, entries) in groups {
            to.text(group).u32(entries.len() as u32);
            for e in entries {
                to.raw(&e.topic).u32(e.partition).u64(e.offset).u32(e.leader_epoch as u32).text(e.metadata);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Debug;

    use super::*;

    /// Writes, reads back, and cuts at every byte. A longer head, as a newer compatible version writes it, is read too.
    fn round<T: PartialEq + Debug>(
        value: T,
        write: impl Fn(&T, &mut Vec<u8>),
        read: impl Fn(&mut Reader<'_>) -> Option<T>,
        len: usize,
    ) {
        let mut bytes = Vec::new();
        write(&value, &mut bytes);
        assert_eq!(bytes.len(), len, "FORMAT.md names the length of {value:?}");
        assert_eq!(read(&mut Reader::new(&bytes)).as_ref(), Some(&value));
        for end in 0..bytes.len() {
            assert_eq!(read(&mut Reader::new(&bytes[..end])), None, "cut at {end}");
        }
        bytes.push(9);
        assert_eq!(read(&mut Reader::new(&bytes)), Some(value));
    }

    #[test]
    fn heads_that_speak_of_the_journal_come_back_as_they_were_written() {
        let place = Place { segment: 3, position: 8192 };
        let link = Link {
            segment: 1,
            generation: 2,
            recovery: 1,
            end: 4,
            lsn: 5,
            checksum: 6,
            undecided: 1,
            incarnation: 7,
            checkpoint_lsn: 8,
            checkpoint: place,
            older_lsn: 9,
            older: Place { segment: 2, position: 9000 },
        };
        round(link, Link::write, Link::read, 96);
        let opened = Opened { incarnation: 1, first_number: 2, numbers: 3, first_producer_id: 4, wall_ms: 5 };
        round(opened, Opened::write, Opened::read, 40);
        let recovered = Recovered {
            incarnation: 1,
            durable_lsn: 2,
            last_lsn: 3,
            cut_bytes: 4,
            cut_lsn: 5,
            lost_first: 6,
            lost_last: 7,
        };
        round(recovered, Recovered::write, Recovered::read, 56);
        let replaced = Replaced { segment: 1, old_generation: 2, new_generation: 3, salt: 4, size: 5 };
        round(replaced, Replaced::write, Replaced::read, 32);
        round(Retired { segment: 1, generation: 2, reserved: 0 }, Retired::write, Retired::read, 16);
        let part = CheckpointHead { lsn: 1, part: 2, parts: 3, next: place, previous: Place::default() };
        round(part, CheckpointHead::write, CheckpointHead::read, 48);
    }

    #[test]
    fn heads_that_speak_of_topics_and_producers_come_back_as_they_were_written() {
        let added = PartitionsAdded { topic: [4; 16], first_instance: 5, count: 6, first_partition: 7, reserved: 0 };
        round(added, PartitionsAdded::write, PartitionsAdded::read, 32);
        round(TopicDeleted { topic: [4; 16] }, TopicDeleted::write, TopicDeleted::read, 16);
        round(ProducerDeleted { producer_id: 11 }, ProducerDeleted::write, ProducerDeleted::read, 8);
        let begun = Begun { producer_id: 1, epoch: 2, flags: 3, timeout_ms: 4, number: 5, wall_ms: 6 };
        round(begun, Begun::write, Begun::read, 32);
        round(PendingHead { number: 1, producer_id: 2 }, PendingHead::write, PendingHead::read, 16);
        let created = TopicCreated {
            topic: [1; 16],
            first_instance: 2,
            partitions: 3,
            durability: 1,
            partition_kind: 0,
            name: "orders",
            config: TopicConfig::default(),
        };
        let (mut head, mut body) = (Vec::new(), Vec::new());
        created.write(&mut head, &mut body);
        assert_eq!((head.len(), body.len()), (32, 8));
        assert_eq!(TopicCreated::read(&mut Reader::new(&head), &mut Reader::new(&body)), Some(created));
        assert_eq!(TopicCreated::read(&mut Reader::new(&head), &mut Reader::new(&body[..7])), None);
        let opened = ProducerOpened {
            producer_id: 5,
            previous_id: -1,
            epoch: 8,
            last_epoch: 7,
            timeout_ms: 60_000,
            name: "loader",
        };
        let (mut head, mut body) = (Vec::new(), Vec::new());
        opened.write(&mut head, &mut body);
        assert_eq!((head.len(), body.len()), (24, 8));
        assert_eq!(ProducerOpened::read(&mut Reader::new(&head), &mut Reader::new(&body)), Some(opened));
        assert_eq!(ProducerOpened::read(&mut Reader::new(&head[..23]), &mut Reader::new(&body)), None);
    }

    fn block() -> Vec<u8> {
        let entry = |group, partition, metadata| OffsetEntry {
            group,
            topic: [8; 16],
            partition,
            offset: u64::from(partition) + 100,
            leader_epoch: -1,
            metadata,
        };
        let mut bytes = Vec::new();
        let groups = [("one", vec![entry("one", 0, ""), entry("one", 1, "text")]), ("two", vec![entry("two", 2, "")])];
        OffsetsBlock::write(&mut bytes, 1_700_000_000_000, &groups);
        bytes
    }

    #[test]
    fn offsets_of_several_groups_come_back_in_their_order() {
        let bytes = block();
        let mut seen = Vec::new();
        OffsetsBlock::read(&bytes)
            .expect("valid")
            .for_each(|e| seen.push((e.group, e.partition, e.offset, e.metadata)));
        assert_eq!(seen, [("one", 0, 100, ""), ("one", 1, 101, "text"), ("two", 2, 102, "")]);
        assert!(OffsetsBlock::read(&[]).is_some_and(|b| b.is_empty()));
    }

    #[test]
    fn an_offsets_block_cut_lengthened_or_with_a_hostile_count_is_refused() {
        let bytes = block();
        for end in 1..bytes.len() {
            assert!(OffsetsBlock::read(&bytes[..end]).is_none(), "cut at {end}");
        }
        let mut long = bytes.clone();
        long.push(0);
        assert!(OffsetsBlock::read(&long).is_none());
        let mut hostile = bytes;
        hostile[8..12].fill(0xff);
        assert!(OffsetsBlock::read(&hostile).is_none());
    }
}
