//! Records that come in many at once: reading the entries that `layout` draws, and giving each to whom it is for.

use std::cell::RefCell;
use std::ops::Range;
use std::rc::Rc;

use napi_derive::napi;
use oncelog::{Header, Record};

use crate::errors::{Result, gone, refused, thrown};
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
    // Numbers instead of objects: a free function with a number costs a third of a method of a class.
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

/// Takes in the entries from `from` to `to` and answers how many bytes of them: the rest would have to wait for room,
/// and does so with `wait`. A transaction throws what it was refused for; a producer's refusals come through the queue.
#[napi(catch_unwind)]
pub fn cross(slot: u32, bytes: &[u8], from: u32, to: u32, wait: bool) -> Result<u32> {
    let sender = SENDERS.with_borrow(|senders| senders.all.get(slot as usize).cloned().flatten());
    let bytes = bytes.get(from as usize..to as usize).ok_or_else(|| refused("the records lie past the buffer"))?;
    match sender {
        None => Err(thrown(&gone())),
        Some(Sender::Producer(producer)) => producer.cross(bytes, wait),
        Some(Sender::Transaction(transaction)) => transaction.cross(bytes).map(|()| to - from),
    }
}

/// One record as it lies in the buffer.
pub struct Entry<'a> {
    pub topic: u32,
    pub who: u32,
    flags: u32,
    key: Option<&'a [u8]>,
    value: Option<&'a [u8]>,
    /// The headers' place in the list beside.
    headers: Range<usize>,
    partition: u32,
    timestamp: f64,
    position: u64,
}

impl<'a> Entry<'a> {
    pub fn has(&self, flag: u32) -> bool {
        self.flags & flag != 0
    }

    pub fn record<'h>(&self, headers: &'h [Header<'a>]) -> Record<'h>
    where
        'a: 'h,
    {
        let mut record = Record::default().headers(headers.get(self.headers.clone()).unwrap_or_default());
        (record.key, record.value) = (self.key, self.value);
        if self.has(layout::TIMESTAMP) {
            record.timestamp = Some(self.timestamp as i64);
        }
        if self.has(layout::PARTITION) {
            record.partition = Some(self.partition);
        }
        if self.has(layout::POSITION) {
            record.position = Some(self.position);
        }
        record
    }
}

/// Walks entries.
pub struct Entries<'a> {
    rest: &'a [u8],
    /// The headers of all entries since `forget`.
    pub headers: Vec<Header<'a>>,
}

impl<'a> Entries<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, headers: Vec::new() }
    }

    /// Bytes behind the entries so far.
    pub fn left(&self) -> usize {
        self.rest.len()
    }

    /// Forgets the headers of the entries so far.
    pub fn forget(&mut self) {
        self.headers.clear();
    }

    /// An entry with all behind it that can be sent with it, each with the bytes behind it: the records of one call, or
    /// posts to one topic.
    pub fn run(&mut self, first: Entry<'a>) -> Result<Vec<(Entry<'a>, usize)>> {
        let (flags, topic, who) = (first.flags & (layout::MANY | layout::ANSWER), first.topic, first.who);
        // Records of usual sizes fit without growing.
        let guess = if flags & layout::ANSWER == 0 { self.left() / 128 } else { 0 };
        let mut run = Vec::with_capacity(guess + 1);
        run.push((first, self.left()));
        while flags & layout::ANSWER == 0
            && Head::read(self.rest).is_some_and(|head| {
                head.flags & (layout::MANY | layout::ANSWER) == flags && (head.topic, head.who) == (topic, who)
            })
            && let Some(entry) = self.next()?
        {
            run.push((entry, self.left()));
        }
        Ok(run)
    }

    /// The next entry; an error if the bytes are not what `layout` draws.
    pub fn next(&mut self) -> Result<Option<Entry<'a>>> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        self.read()
            .map(Some)
            .ok_or_else(|| refused("packed records are cut short; this is a bug in oncelog, report it"))
    }

    fn read(&mut self) -> Option<Entry<'a>> {
        let head = Head::read(self.rest)?;
        let (entry, rest) = self.rest.split_at_checked(head.size as usize)?;
        let mut fields = Fields(entry.get(layout::ENTRY_HEAD as usize..)?);
        let flag = |flag: u32| head.flags & flag != 0;
        let timestamp = if flag(layout::TIMESTAMP) { f64::from_ne_bytes(fields.eight()?) } else { 0.0 };
        let position = if flag(layout::POSITION) { u64::from_ne_bytes(fields.eight()?) } else { 0 };
        let key = if flag(layout::KEY) { Some(fields.take(head.key)?) } else { None };
        let value = if flag(layout::VALUE_FLAG) { Some(fields.take(head.value)?) } else { None };
        let first = self.headers.len();
        for _ in 0..head.headers {
            let (name, value) = (fields.four()?, fields.four()?);
            let key = std::str::from_utf8(fields.take(name)?).ok()?;
            let value = if value == layout::NULL { None } else { Some(fields.take(value)?) };
            self.headers.push(Header { key, value });
        }
        self.rest = rest;
        let Head { flags, topic, who, partition, .. } = head;
        let headers = first..self.headers.len();
        Some(Entry { topic, who, flags, key, value, headers, partition, timestamp, position })
    }
}

struct Head {
    size: u32,
    flags: u32,
    topic: u32,
    who: u32,
    key: u32,
    value: u32,
    headers: u32,
    partition: u32,
}

impl Head {
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
