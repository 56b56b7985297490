//! The state: whatever is folded, it goes into a checkpoint and comes back; whatever a checkpoint says, it is loaded
//! or refused.

use oncelog::format::bytes::put_u32;
use oncelog::format::frame::Frame;
use oncelog::limits::{ALLOCATION_MAX, COUNT_MAX};
use oncelog::sim::{Loader, Rng, State};

use crate::fire;
use crate::frames::{HOME, hostile, samples};
use crate::meter::bounded;
use crate::mutate::{Sample, damaged};
use crate::sealing::seal_frame;

/// The parts of a state's checkpoint.
fn parts(state: &State) -> Vec<Vec<u8>> {
    let snapshot = state.snapshot();
    let part = |part| {
        let mut out = Vec::new();
        snapshot.encode(part, &mut out);
        out
    };
    (1..=snapshot.parts()).map(part).collect()
}

fn load<'a>(parts: impl IntoIterator<Item = &'a Vec<u8>>) -> Option<State> {
    let mut loader = Loader::new(u64::MAX);
    for part in parts {
        loader.add(part)?;
    }
    loader.finish()
}

/// A checkpoint of it gives the same state again. What is gone was swept up before.
fn check_round(state: &mut State) {
    assert!(state.sweep(usize::MAX));
    let parts = parts(state);
    let again = load(&parts).expect("what was folded can be loaded");
    assert!(self::parts(&again) == parts, "the same state gives the same bytes");
}

/// Folds a frame as it lies there.
fn fold(state: &mut State, lsn: u64, bytes: &[u8]) -> bool {
    let Ok(frame) = Frame::read(bytes, HOME.seal, HOME.position) else { return false };
    frame.payload().is_ok_and(|payload| {
        bounded(ALLOCATION_MAX, || state.apply(lsn, &payload));
        true
    })
}

/// Every sample, in an order in which each says something.
fn told(samples: &[Sample]) -> State {
    let mut state = State::default();
    let order = |kind: u8| [5, 10, 12, 13, 23, 24, 1, 2, 16].iter().position(|k| *k == kind);
    let mut chosen: Vec<&Sample> = samples.iter().filter(|sample| order(sample.bytes[4]).is_some()).collect();
    chosen.sort_by_key(|sample| order(sample.bytes[4]));
    for (lsn, sample) in (1..).zip(chosen) {
        let mut bytes = sample.bytes.clone();
        seal_frame(&mut bytes, HOME, false);
        assert!(fold(&mut state, lsn, &bytes));
    }
    state
}

#[test]
fn whatever_is_folded_goes_into_a_checkpoint_and_comes_back() {
    let samples = samples();
    check_round(&mut told(&samples));
    fire("whatever_is_folded_goes_into_a_checkpoint_and_comes_back", 4_000, |rng| {
        let mut state = told(&samples);
        let mut folded = 0;
        let mut lsn = 100 + if rng.chance(1, 8) { rng.below(COUNT_MAX - 200) } else { 0 };
        for _ in 0..1 + rng.below(12) {
            lsn += 1;
            folded += u32::from(fold(&mut state, lsn, &hostile(rng, &samples)));
        }
        check_round(&mut state);
        folded > 2
    });
}

/// A checkpoint with entries in every table, cut into parts of its own sections.
fn checkpoint() -> Vec<Sample> {
    parts(&told(&samples()))
        .into_iter()
        .map(|part| Sample::new(part).numbers(0, &[4; 4]).numbers(16, &[8, 8, 8, 4, 4, 4]))
        .collect()
}

/// Says the length that the part has.
fn measure(part: &mut [u8]) {
    let len = part.len() as u32;
    if part.len() >= 8 {
        put_u32(part, 4, len);
    }
}

fn hostile_part(rng: &mut Rng, samples: &[Sample]) -> Vec<u8> {
    let mut part = damaged(rng, samples);
    if rng.chance(15, 16) {
        measure(&mut part);
    }
    part
}

#[test]
fn parts_of_a_checkpoint_of_any_content_are_loaded_or_refused() {
    let (samples, of_frames) = (checkpoint(), samples());
    assert!(load(samples.iter().map(|sample| &sample.bytes)).is_some());
    fire("parts_of_a_checkpoint_of_any_content_are_loaded_or_refused", 10_000, |rng| {
        let mut parts: Vec<Vec<u8>> = samples.iter().map(|sample| sample.bytes.clone()).collect();
        let hit = rng.index(parts.len());
        parts[hit] = hostile_part(rng, &samples[hit..=hit]);
        let Some(mut state) = bounded(ALLOCATION_MAX, || load(&parts)) else { return false };
        check_round(&mut state);
        // It is as good as any: frames are folded on top.
        for lsn in 1_000..1_004 {
            fold(&mut state, lsn, &hostile(rng, &of_frames));
        }
        check_round(&mut state);
        true
    });
}
