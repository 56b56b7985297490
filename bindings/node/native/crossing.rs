//! Records that come in many at once: reading the entries that `layout` draws, and giving each to whom it is for.

use std::cell::RefCell;
use std::ops::Range;
use std::rc::Rc;

use napi::bindgen_prelude::{Uint8Array, Uint32Array};
use napi_derive::napi;
use oncelog::{Header, Record};

use crate::errors::{Kind, Result, gone, refused, thrown};
use crate::layout;
use crate::producer::ProducerSender;
use crate::transaction::TransactionSender;

/// Who takes records in.
#[derive(Clone)]
pub enum Sender {
    Producer(Rc<ProducerSender>),
    Transaction(Rc<TransactionSender>),
}

thread_local! {
    // Numbers instead of objects: a free function costs a third of a method of a class.
    static SENDERS: RefCell<Senders> = const { RefCell::new(Senders { all: Vec::new(), free: Vec::new() }) };
}

struct Senders {
    all: Vec<Option<Sender>>,
    free: Vec<u32>,
}

/// A sender's number, given back when this goes.
pub struct Slot(u32);

impl Slot {
    pub fn new(sender: Sender) -> Self {
        SENDERS.with_borrow_mut(|senders| match senders.free.pop() {
            Some(number) => {
                senders.all[number as usize] = Some(sender);
                Self(number)
            }
            None => {
                senders.all.push(Some(sender));
                // There is memory for far fewer.
                Self((senders.all.len() - 1) as u32)
            }
        })
    }
    pub fn number(&self) -> u32 {
        self.0
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        // At the end of a thread the table may be gone already, and everything in it.
        let sender = SENDERS.try_with(|senders| {
            let mut senders = senders.borrow_mut();
            senders.free.push(self.0);
            senders.all[self.0 as usize].take()
        });
        // Outside the borrow, since a sender's drop may do more.
        drop(sender);
    }
}

thread_local! {
    // Nothing is passed when packed records cross, since what such a call costs is mostly its arguments.
    static DESK: RefCell<Option<Desk>> = const { RefCell::new(None) };
}

/// What an environment keeps in common with its facade.
struct Desk {
    /// A sender's slot, and how many bytes of its memory are packed.
    words: Uint32Array,
    /// Where the records of transactions are packed.
    scratch: Uint8Array,
}

/// Shows where the facade says what crosses: two numbers, as `Desk` has them, and the memory of transactions. False if
/// another facade of this thread was here before: it goes on saying it there, and this one has to pass what crosses.
#[napi(catch_unwind)]
pub fn share(words: Uint32Array, scratch: Uint8Array) -> bool {
    DESK.with_borrow_mut(|desk| {
        let mine = desk.is_none();
        if mine {
            *desk = Some(Desk { words, scratch });
        }
        mine
    })
}

fn sender(slot: u32) -> Result<Sender> {
    let sender = SENDERS.with_borrow(|senders| senders.all.get(slot as usize).cloned().flatten());
    sender.ok_or_else(|| thrown(&gone()))
}

fn part(bytes: &[u8], range: Range<u32>) -> Result<&[u8]> {
    let part = bytes.get(range.start as usize..range.end as usize);
    part.ok_or_else(|| refused("the records lie past the buffer; this is a bug in oncelog, report it"))
}

/// Takes in what is packed in the sender's own memory and answers how many bytes of it, as `cross`.
#[napi(catch_unwind)]
pub fn cross_own() -> Result<u32> {
    DESK.with_borrow(|desk| {
        let desk = desk.as_ref().ok_or_else(|| refused("no desk is shared; this is a bug in oncelog, report it"))?;
        let [slot, end] = *desk.words.first_chunk().unwrap_or(&[u32::MAX, 0]);
        match sender(slot)? {
            Sender::Producer(producer) => Ok(producer.cross(part(producer.memory(), 0..end)?, false)),
            Sender::Transaction(transaction) => transaction.cross(part(&desk.scratch, 0..end)?, false),
        }
    })
}

/// Takes in the entries from `from` to `to` and answers how many bytes of them: the rest would have to wait for room,
/// and does so with `wait`. A transaction throws what it was refused for; a producer's refusals come through the queue.
#[napi(catch_unwind)]
pub fn cross(slot: u32, bytes: &[u8], from: u32, to: u32, wait: bool) -> Result<u32> {
    let bytes = part(bytes, from..to)?;
    match sender(slot)? {
        Sender::Producer(producer) => Ok(producer.cross(bytes, wait)),
        Sender::Transaction(transaction) => transaction.cross(bytes, wait),
    }
}

/// Walks entries.
pub struct Entries<'a> {
    rest: &'a [u8],
    /// The headers of the entries that were read last.
    headers: Vec<Header<'a>>,
}

/// Entries side by side that are sent together: the records of one call, posts to one topic, or one that is answered.
pub struct Run<'r, 'a> {
    pub topic: u32,
    pub who: u32,
    /// Those of all its entries.
    flags: u32,
    pub rows: Rows<'r, 'a>,
}

/// The records of a run that are not sent yet. They are made one by one, where they lie.
#[derive(Clone)]
pub struct Rows<'r, 'a> {
    count: usize,
    bytes: &'a [u8],
    headers: &'r [Header<'a>],
}

impl Run<'_, '_> {
    pub fn has(&self, flag: u32) -> bool {
        self.flags & flag != 0
    }
}

impl<'a> Entries<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, headers: Vec::new() }
    }

    /// Bytes behind the entries so far.
    pub fn left(&self) -> usize {
        self.rest.len()
    }

    /// The next record, whoever it is for, with the number of its topic.
    pub fn next(&mut self) -> Result<Option<(u32, Record<'_>)>> {
        self.headers.clear();
        let whole = self.rest;
        let Some(head) = self.step()? else { return Ok(None) };
        let mut rows = Rows { count: 1, bytes: whole, headers: &self.headers };
        Ok(rows.next().map(|record| (head.topic, record)))
    }

    /// The next run. What comes first in it says what it is.
    pub fn run(&mut self) -> Result<Option<Run<'_, 'a>>> {
        self.headers.clear();
        let whole = self.rest;
        let Some(first) = self.step()? else { return Ok(None) };
        let kind = |head: &Head| (head.flags & (layout::MANY | layout::ANSWER), head.topic, head.who);
        let (mut count, mut flags) = (1, first.flags);
        while first.flags & layout::ANSWER == 0
            && let Some(head) = Head::read(self.rest).filter(|head| kind(head) == kind(&first))
        {
            self.pass(&head)?;
            count += 1;
            flags |= head.flags;
        }
        let Head { topic, who, .. } = first;
        let bytes = &whole[..whole.len() - self.rest.len()];
        Ok(Some(Run { topic, who, flags, rows: Rows { count, bytes, headers: &self.headers } }))
    }

    /// Goes behind the next entry, if there is one.
    fn step(&mut self) -> Result<Option<Head>> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let head = Head::read(self.rest).ok_or_else(cut_short)?;
        self.pass(&head)?;
        Ok(Some(head))
    }

    /// Goes behind the next entry, which begins with `head`; an error if the bytes are not what `layout` draws.
    #[inline]
    fn pass(&mut self, head: &Head) -> Result<()> {
        self.look(head).ok_or_else(cut_short)
    }

    #[inline]
    fn look(&mut self, head: &Head) -> Option<()> {
        let (entry, rest) = self.rest.split_at_checked(head.size as usize)?;
        let fields = entry.get(layout::ENTRY_HEAD as usize..)?;
        let (_, mut behind) = head.fields(fields)?;
        for _ in 0..head.headers {
            let (name, value) = (behind.four()?, behind.four()?);
            let key = std::str::from_utf8(behind.take(name)?).ok()?;
            let value = if value == layout::NULL { None } else { Some(behind.take(value)?) };
            self.headers.push(Header { key, value });
        }
        self.rest = rest;
        Some(())
    }
}

#[cold]
fn cut_short() -> napi::Error<Kind> {
    refused("packed records are cut short; this is a bug in oncelog, report it")
}

impl Rows<'_, '_> {
    pub fn len(&self) -> usize {
        self.count
    }

    /// Bytes of the records that are not sent yet.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// So many are sent.
    pub fn leave(&mut self, sent: usize) {
        if sent >= self.count {
            (self.count, self.bytes) = (0, &[]);
        } else {
            self.take(sent).for_each(drop);
        }
    }
}

impl<'r, 'a: 'r> Iterator for Rows<'r, 'a> {
    type Item = Record<'r>;

    #[inline]
    fn next(&mut self) -> Option<Record<'r>> {
        // `look` has been here before: nothing is missing.
        let head = Head::read(self.bytes)?;
        let (entry, rest) = self.bytes.split_at_checked(head.size as usize)?;
        let (mut record, _) = head.fields(entry.get(layout::ENTRY_HEAD as usize..)?)?;
        let (own, headers) = self.headers.split_at_checked(head.headers as usize)?;
        record.headers = own;
        (self.count, self.bytes, self.headers) = (self.count - 1, rest, headers);
        Some(record)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.count, Some(self.count))
    }
}

/// The numbers that begin an entry.
pub struct Head {
    size: u32,
    flags: u32,
    topic: u32,
    pub who: u32,
    key: u32,
    value: u32,
    headers: u32,
    partition: u32,
}

/// The heads of entries, whatever is in them.
pub fn heads(mut bytes: &[u8]) -> impl Iterator<Item = Head> {
    std::iter::from_fn(move || {
        let head = Head::read(bytes)?;
        bytes = bytes.get(head.size as usize..).unwrap_or_default();
        Some(head)
    })
}

impl Head {
    pub fn has(&self, flag: u32) -> bool {
        self.flags & flag != 0
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let head: &[u8; layout::ENTRY_HEAD as usize] = bytes.first_chunk()?;
        let mut fields = Fields(head);
        Some(Self {
            size: fields.four()?.max(layout::ENTRY_HEAD),
            flags: fields.four()?,
            topic: fields.four()?,
            who: fields.four()?,
            key: fields.four()?,
            value: fields.four()?,
            headers: fields.four()?,
            partition: fields.four()?,
        })
    }

    /// The record without its headers, and what lies behind it.
    #[inline]
    fn fields<'a>(&self, bytes: &'a [u8]) -> Option<(Record<'a>, Fields<'a>)> {
        let has = |flag: u32| self.has(flag);
        let (mut fields, mut record) = (Fields(bytes), Record::default());
        if has(layout::TIMESTAMP) {
            record.timestamp = Some(f64::from_ne_bytes(fields.eight()?) as i64);
        }
        if has(layout::POSITION) {
            record.position = Some(u64::from_ne_bytes(fields.eight()?));
        }
        if has(layout::PARTITION) {
            record.partition = Some(self.partition);
        }
        if has(layout::KEY) {
            record.key = Some(fields.take(self.key)?);
        }
        if has(layout::VALUE_FLAG) {
            record.value = Some(fields.take(self.value)?);
        }
        Some((record, fields))
    }
}

/// Bytes that are taken from the front.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, bytes: u32) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(bytes as usize)?;
        self.0 = rest;
        Some(taken)
    }
    fn four(&mut self) -> Option<u32> {
        let (bytes, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u32::from_ne_bytes(*bytes))
    }
    fn eight(&mut self) -> Option<[u8; 8]> {
        let (bytes, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*bytes)
    }
}

/// Topics by the numbers that entries name them with.
#[derive(Default)]
pub struct Topics(RefCell<Vec<Rc<str>>>);

impl Topics {
    /// The number of a topic that the facade names for the first time.
    pub fn add(&self, name: String) -> u32 {
        let mut topics = self.0.borrow_mut();
        topics.push(name.into());
        // There is memory for far fewer.
        (topics.len() - 1) as u32
    }
    pub fn name(&self, number: u32) -> Result<Rc<str>> {
        let found = self.0.borrow().get(number as usize).cloned();
        found.ok_or_else(|| refused("packed records name an unknown topic; this is a bug in oncelog, report it"))
    }
}
