//! The headers of a record, as they lie in it.

use super::record::Header;
use super::record_iter::{Defect, read_field, unreadable};
use crate::error::{Error, ErrorKind, Result};

/// Headers whose lengths were checked to end exactly with their record.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct HeaderBytes<'a> {
    bytes: &'a [u8],
    count: u32,
}

/// The headers of a record, decoded as they are asked for.
#[derive(Clone, Debug, Default)]
pub struct Headers<'a> {
    rest: HeaderBytes<'a>,
}

impl<'a> Headers<'a> {
    pub(super) fn of(rest: HeaderBytes<'a>) -> Self {
        Self { rest }
    }

    /// The headers with their names as they lie in the record, UTF-8 or not.
    pub fn raw(self) -> impl ExactSizeIterator<Item = (&'a [u8], Option<&'a [u8]>)> + Clone {
        let HeaderBytes { mut bytes, count } = self.rest;
        (0..count).map(move |_| {
            let mut at = 0;
            // Their lengths were checked.
            let header = read_header(bytes, &mut at).unwrap_or_default();
            bytes = bytes.get(at..).unwrap_or_default();
            header
        })
    }
}

impl<'a> Iterator for Headers<'a> {
    type Item = Result<Header<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        self.rest.count = self.rest.count.checked_sub(1)?;
        let mut at = 0;
        let header = read_header(self.rest.bytes, &mut at);
        self.rest.bytes = self.rest.bytes.get(at..).unwrap_or_default();
        Some(match header.map(|(key, value)| (std::str::from_utf8(key), value)) {
            Ok((Ok(key), value)) => Ok(Header { key, value }),
            Ok((Err(_), _)) => Err(not_text()),
            Err(defect) => Err(unreadable(defect, 0)),
        })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.rest.count as usize, Some(self.rest.count as usize))
    }
}

impl ExactSizeIterator for Headers<'_> {}

type RawHeader<'a> = (&'a [u8], Option<&'a [u8]>);

fn read_header<'a>(bytes: &'a [u8], at: &mut usize) -> std::result::Result<RawHeader<'a>, Defect> {
    let key = read_field(bytes, at)?.ok_or(Defect::HeaderName)?;
    Ok((key, read_field(bytes, at)?))
}

/// Walks the headers that start at `at`; they must end exactly with the record.
pub(super) fn check_headers(record: &[u8], mut at: usize, count: i32) -> std::result::Result<HeaderBytes<'_>, Defect> {
    let bytes = &record[at..];
    // Each header takes two bytes at least, so a count that the bytes cannot hold ends here, not after a long walk.
    let count = u32::try_from(count).ok().filter(|n| *n as usize <= bytes.len() / 2).ok_or(Defect::HeaderCount)?;
    for _ in 0..count {
        read_header(record, &mut at)?;
    }
    if at == record.len() { Ok(HeaderBytes { bytes, count }) } else { Err(Defect::Left) }
}

#[cold]
fn not_text() -> Error {
    Error::new(ErrorKind::InvalidRecord, "the name of a header is not utf-8; read the headers raw")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_whose_name_is_not_text_is_an_error_of_its_own_and_there_as_bytes() {
        let mut headers = Headers::of(check_headers(&[2, 0xff, 1, 2, b'b', 1], 0, 2).unwrap());
        assert!(headers.clone().raw().eq([(&[0xff][..], None), (&b"b"[..], None)]));
        assert_eq!(headers.next().unwrap().unwrap_err().kind(), ErrorKind::InvalidRecord);
        assert_eq!(headers.next().unwrap().unwrap(), Header { key: "b", value: None });
        assert!(headers.next().is_none());
    }
}
