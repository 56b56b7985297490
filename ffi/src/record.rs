//! Records on their way in: the header's structs become the engine's.

use engine::{Header, Record};

use crate::call::{Answer, Caller};
use crate::codes::{ONCELOG_RECORD_PARTITION, ONCELOG_RECORD_POSITION, ONCELOG_RECORD_TIMESTAMP};
use crate::structs::{check_fields, oncelog_header_t, oncelog_record_t};

const KNOWN: u32 = ONCELOG_RECORD_TIMESTAMP | ONCELOG_RECORD_PARTITION | ONCELOG_RECORD_POSITION;

/// Adds a record's headers to a list.
#[inline(never)]
fn push_headers<'c>(caller: &'c Caller, record: &oncelog_record_t, into: &mut Vec<Header<'c>>) -> Answer {
    for header in caller.array(record.headers, record.header_count, "headers")? {
        let &oncelog_header_t { key, value, value_size } = header;
        let (key, value) = (caller.text(key, "header key")?, caller.bytes(value, value_size, "header value")?);
        into.push(Header { key, value });
    }
    Ok(())
}

/// Key, value and timestamp.
#[inline(always)]
fn bare<'c>(caller: &'c Caller, given: &oncelog_record_t) -> Answer<Record<'c>> {
    let mut record = Record::default();
    record.key = caller.bytes(given.key, given.key_size, "key")?;
    record.value = caller.bytes(given.value, given.value_size, "value")?;
    record.timestamp = (given.fields & ONCELOG_RECORD_TIMESTAMP != 0).then_some(given.timestamp);
    Ok(record)
}

/// A record with these headers.
#[inline(always)]
fn record<'c>(caller: &'c Caller, given: &oncelog_record_t, headers: &'c [Header<'c>]) -> Answer<Record<'c>> {
    let mut record = bare(caller, given)?;
    record.headers = headers;
    // Out of the way of the many that have a timestamp at most.
    if given.fields & !ONCELOG_RECORD_TIMESTAMP != 0 {
        check_fields("oncelog_record_t", given.fields, KNOWN)?;
        let has = |field| given.fields & field != 0;
        record.partition = has(ONCELOG_RECORD_PARTITION).then_some(given.partition);
        record.position = has(ONCELOG_RECORD_POSITION).then_some(given.position);
    }
    Ok(record)
}

/// The record if it has neither headers nor a partition or position, as nearly all: for a loop that has nothing to do
/// with what others have. `each` takes them all.
#[inline(always)]
pub fn plain<'c>(caller: &'c Caller, given: &oncelog_record_t) -> Answer<Option<Record<'c>>> {
    let plain = given.header_count == 0 && given.fields & !ONCELOG_RECORD_TIMESTAMP == 0;
    if plain { bare(caller, given).map(Some) } else { Ok(None) }
}

/// Gives each record to `take`. Allocates for headers alone.
#[inline(always)]
pub fn each(caller: &Caller, records: &[oncelog_record_t], mut take: impl FnMut(&Record<'_>) -> Answer) -> Answer {
    let mut headers = Vec::new();
    for given in records {
        headers.clear();
        if given.header_count > 0 {
            push_headers(caller, given, &mut headers)?;
        }
        // Called in one place only, so that what it does is compiled into this loop.
        take(&record(caller, given, &headers)?)?;
    }
    Ok(())
}

/// Gives all records to `take` at once.
pub fn all<T>(caller: &Caller, given: &[oncelog_record_t], take: impl FnOnce(&[Record<'_>]) -> Answer<T>) -> Answer<T> {
    let mut headers = Vec::new();
    for given in given.iter().filter(|given| given.header_count > 0) {
        push_headers(caller, given, &mut headers)?;
    }
    let mut records = Vec::with_capacity(given.len());
    let mut rest = &headers[..];
    for given in given {
        // The caller's array may not change during the call; should it, no more is taken than is there.
        let (own, others) = rest.split_at(given.header_count.min(rest.len()));
        records.push(record(caller, given, own)?);
        rest = others;
    }
    take(&records)
}
