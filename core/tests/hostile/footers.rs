//! Footers.

use oncelog::format::bytes::{get_u32, get_u64, put_u32, put_u64};
use oncelog::format::footer::{self, Aborted, Decisions, FOOTER_HEADER, Footer, FooterHead, Holding, Run};
use oncelog::limits::ALLOCATION_MAX;

use crate::fire;
use crate::meter::{bounded, in_place};
use crate::mutate::{Sample, damaged};

pub const HEADER: [usize; 14] = [8, 4, 4, 8, 4, 4, 8, 8, 8, 8, 8, 8, 4, 4];

fn sample(partitions: u32) -> Sample {
    let head = FooterHead { segment: 3, generation: 0, salt: 9, end: 70_000, first_lsn: 5, last_lsn: 99 };
    let run = |n: u32| Run {
        position: 8192 + n * 800,
        len: 800,
        bare: n.is_multiple_of(3),
        first_offset: u64::from(n) * 10,
        max_timestamp: i64::from(n),
    };
    let holding = |instance: u32| Holding {
        instance,
        previous: 2,
        end_offset: 100,
        runs: (0..1 + instance % 4).map(run).collect(),
    };
    let range = |n: u64| Aborted { producer_id: n as i64, first: n, end: n + 10 };
    let decided =
        |instance: u32| Decisions { instance, stable: 25, aborted: (0..u64::from(instance % 3)).map(range).collect() };
    let holdings: Vec<_> = (0..partitions).map(holding).collect();
    let decisions: Vec<_> = (0..partitions).step_by(2).map(decided).collect();
    let bytes = footer::encode(&head, &holdings, &decisions, true);
    Sample::new(bytes)
        .numbers(0, &HEADER)
        .numbers(FOOTER_HEADER, &[4, 4, 8, 8, 8, 8, 8].repeat(partitions as usize))
        .numbers(FOOTER_HEADER + 48 * partitions as usize, &[4, 4, 8, 8].repeat(decisions.len()))
}

/// Makes its checksum right, and mostly its length too.
pub fn seal(bytes: &mut [u8], measured: bool) {
    if bytes.len() < FOOTER_HEADER {
        return;
    }
    if measured {
        bytes[..8].copy_from_slice(b"onceftr\x02");
        put_u64(bytes, 72, bytes.len() as u64);
    }
    let sum = crc32c::crc32c_append(crc32c::crc32c(&bytes[..8]), &bytes[12..]);
    put_u32(bytes, 8, sum);
}

/// The file that it says it is of.
fn head(bytes: &[u8]) -> FooterHead {
    if bytes.len() < FOOTER_HEADER {
        return FooterHead { segment: 3, generation: 0, salt: 9, end: 70_000, first_lsn: 5, last_lsn: 99 };
    }
    FooterHead {
        segment: get_u64(bytes, 16),
        generation: get_u32(bytes, 24),
        salt: get_u64(bytes, 32),
        end: get_u64(bytes, 40),
        first_lsn: get_u64(bytes, 48),
        last_lsn: get_u64(bytes, 56),
    }
}

/// Looks everything up.
fn look(footer: &Footer<&[u8]>, len: usize, instance: u32) {
    in_place(|| {
        if let Some(held) = footer.find(instance) {
            assert!((1..=len / 24).contains(&held.len()));
            let at = held.seek(held.first_offset());
            assert!(at < held.len());
            assert!(held.seek(u64::MAX) < held.len());
            assert!(footer::seek_time(held.len(), |i| held.run(i), held.run(at).max_timestamp) <= held.len());
            let _ = (held.previous(), held.end_offset(), footer.is_complete());
        }
    });
    // Twice as much in memory as in the file, and what vectors keep beside that.
    bounded(4 * len + 1024, || {
        footer.decisions_of(instance);
        let runs: usize = footer.holdings().iter().map(|h| h.runs.len()).sum();
        let aborted: usize = footer.decisions().iter().map(|d| d.aborted.len()).sum();
        assert!((runs + aborted) * 24 <= len, "{runs} runs and {aborted} ranges in {len} bytes");
    });
}

#[test]
fn footers_of_any_content_are_read_or_refused_and_never_say_more_than_they_hold() {
    let samples = [sample(1), sample(3), sample(40)];
    for sample in &samples {
        assert!(Footer::read(&sample.bytes[..], &head(&sample.bytes)).is_some());
    }
    fire("footers_of_any_content_are_read_or_refused_and_never_say_more_than_they_hold", 20_000, |rng| {
        let mut bytes = damaged(rng, &samples);
        if rng.chance(15, 16) {
            seal(&mut bytes, rng.chance(7, 8));
        }
        let length = footer::length(&bytes);
        let Some(footer) = in_place(|| Footer::read(&bytes[..], &head(&bytes))) else { return false };
        assert_eq!(length, Some(bytes.len() as u64));
        (0..42).for_each(|instance| look(&footer, bytes.len(), instance));
        true
    });
}

#[test]
fn a_footer_whose_entries_share_their_runs_is_refused() {
    // A thousand partitions that each claim all runs would ask for a thousand times what the file holds.
    let mut bytes = sample(1_000).bytes;
    let runs = (bytes.len() - FOOTER_HEADER - 1_000 * 48 - 500 * 24) / 24;
    for entry in 0..1_000 {
        let at = FOOTER_HEADER + entry * 48;
        put_u32(&mut bytes, at + 4, runs as u32 / 2);
        put_u64(&mut bytes, at + 8, 0);
    }
    seal(&mut bytes, true);
    let footer = bounded(ALLOCATION_MAX, || Footer::read(&bytes[..], &head(&bytes)));
    assert!(footer.is_none());
}
