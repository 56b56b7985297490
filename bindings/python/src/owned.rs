//! Records that are kept until they can be sent.

use oncelog::{Appended, Header, Record, SentMany, Ticket};

use crate::backlog::Make;
use crate::parts::Parts;
use crate::ticket::State;

/// Headers of one record or of many.
pub struct Headers(Vec<(String, Option<Vec<u8>>)>);

impl Headers {
    pub fn of(headers: &[Header<'_>]) -> Self {
        Self(headers.iter().map(|header| (header.key.to_owned(), header.value.map(<[u8]>::to_vec))).collect())
    }

    pub fn borrowed(&self) -> Vec<Header<'_>> {
        self.0.iter().map(|(key, value)| Header { key, value: value.as_deref() }).collect()
    }
}

/// A record without its headers.
pub struct Owned {
    value: Option<Vec<u8>>,
    key: Option<Vec<u8>>,
    partition: Option<u32>,
    timestamp: Option<i64>,
    position: Option<u64>,
}

impl Owned {
    pub fn of(record: &Record<'_>) -> Self {
        Self {
            value: record.value.map(<[u8]>::to_vec),
            key: record.key.map(<[u8]>::to_vec),
            partition: record.partition,
            timestamp: record.timestamp,
            position: record.position,
        }
    }

    /// Bytes of its key and value, and about what it has beside them.
    pub fn bytes(&self) -> usize {
        let len = |bytes: &Option<Vec<u8>>| bytes.as_ref().map_or(0, Vec::len);
        len(&self.value) + len(&self.key) + 64
    }

    pub fn record<'a>(&'a self, headers: &'a [Header<'a>]) -> Record<'a> {
        let mut record = Record::default().headers(headers);
        record.value = self.value.as_deref();
        record.key = self.key.as_deref();
        (record.partition, record.timestamp, record.position) = (self.partition, self.timestamp, self.position);
        record
    }
}

/// Bytes of a record's key and value.
pub fn bytes(record: &Record<'_>) -> usize {
    record.value.map_or(0, <[u8]>::len) + record.key.map_or(0, <[u8]>::len)
}

/// A producer that is held by what waits for it.
pub type Sender = std::sync::Arc<oncelog::Producer>;

/// Sends one record.
pub fn one(producer: Sender, topic: &str, record: &Record<'_>) -> Make {
    let (topic, headers, record) = (topic.to_owned(), Headers::of(record.headers), Owned::of(record));
    Box::new(move |wait| {
        let headers = headers.borrowed();
        let record = record.record(&headers);
        let sent = match wait {
            true => producer.send(&topic, record).map(Some),
            false => producer.try_send(&topic, record),
        };
        sent.transpose().map(|sent| sent.map(State::Record))
    })
}

/// Sends what is left of many records, of which some were sent.
pub fn many(producer: Sender, topic: &str, rest: Vec<Owned>, headers: Headers, sent: Ticket<Vec<Appended>>) -> Make {
    let (topic, mut parts, mut at) = (topic.to_owned(), Parts::of(sent), 0);
    Box::new(move |wait| {
        let headers = headers.borrowed();
        while at < rest.len() {
            let left = rest[at..].iter().map(|record| record.record(&headers));
            let (sent, ticket) = match wait {
                true => match producer.send_many(&topic, left) {
                    Ok(ticket) => (rest.len() - at, ticket),
                    Err(error) => return Some(Err(error)),
                },
                false => match producer.try_send_many(&topic, left) {
                    Ok(SentMany { refused: Some(error), .. }) | Err(error) => return Some(Err(error)),
                    Ok(SentMany { sent: 0, .. }) => return None,
                    Ok(SentMany { sent, ticket, .. }) => (sent, ticket),
                },
            };
            at += sent;
            parts.push(ticket);
        }
        Some(Ok(State::Other(Box::new(std::mem::take(&mut parts)))))
    })
}
