//! What a power cut after a number of disk calls can have done: a list, each entry with a name that finds it again.

use oncelog::sim::{Choice, Fate, Log, Rng, Sector, Unsynced, UnsyncedKind};

/// How many of each kind are tried after each call.
#[derive(Clone, Copy, Debug)]
pub struct Amount {
    /// Torn writes in all, spread over the unsynced ones; each is torn at least twice.
    pub tears: usize,
    /// Pairs of unsynced writes and names that are dropped together.
    pub pairs: usize,
    /// One of so many states is crashed again at every call of its recovery. 0: none.
    pub again: u64,
    /// Unsynced writes that are dropped, kept alone and torn one by one; of more than these some between are left out.
    pub singles: usize,
}

/// What `make test` tries.
pub const FULL: Amount = Amount { tears: 24, pairs: 8, again: 250, singles: 18 };
/// Of the calls of a recovery.
pub const AGAIN: Amount = Amount { tears: 2, pairs: 1, again: 250, singles: 4 };
/// For a bug that any of a few states shows.
pub const QUICK: Amount = Amount { tears: 8, pairs: 2, again: 0, singles: 12 };

/// One thing that a power cut can have done.
pub struct Cut {
    pub name: String,
    pub choice: Choice,
    /// Everything that was written is there, as after the death of the process.
    pub kept: bool,
}

/// ROUND=n plays all workloads with other seeds and tears: for a longer search than one run of the tests.
pub fn round() -> u64 {
    std::env::var("ROUND").ok().and_then(|round| round.parse().ok()).unwrap_or(0)
}

/// Everything to be tried after the first `prefix` calls.
pub fn cuts(log: &Log, prefix: usize, amount: Amount) -> Vec<Cut> {
    let mut cuts = vec![Cut { name: "all".into(), choice: Choice::all(), kept: true }];
    let mut add = |name: String, choice: Choice| cuts.push(Cut { name, choice, kept: false });
    let (all, names) = (log.unsynced(prefix), log.unsynced_names(prefix));
    if all.is_empty() && names.is_empty() {
        return cuts;
    }
    add("none".into(), Choice::none());
    if !names.is_empty() && !all.is_empty() {
        add("no-names".into(), Choice::all().names(false));
        add("only-names".into(), Choice::none().names(true));
    }
    let mut rng = Rng::new(prefix as u64 ^ (round() << 32) ^ 0x9d5c_7a11);
    for name in &names {
        add(format!("lose-{}", name.id), Choice::all().name(name.id, false));
    }
    let writes: Vec<&Unsynced> = some(&all, amount.singles);
    for write in &writes {
        add(format!("drop-{}", write.id), Choice::all().write(write.id, Fate::Dropped));
        if all.len() > 2 {
            add(format!("only-{}", write.id), Choice::none().names(true).write(write.id, Fate::Kept));
        }
        if write.kind != UnsyncedKind::Data {
            continue;
        }
        for n in 0..(amount.tears / writes.len()).clamp(2, 12) {
            let torn = Fate::Torn(tear(&mut rng, write.sectors, n));
            // The newest write torn with all before it in place is what a power cut leaves most often.
            let base = if n % 3 == 2 { Choice::none().names(true) } else { Choice::all() };
            add(format!("tear-{}-{n}", write.id), base.write(write.id, torn).garbage(rng.next_u64()));
        }
    }
    for n in 0..if all.len() + names.len() > 2 { amount.pairs } else { 0 } {
        let mut choice = Choice::all();
        for _ in 0..2 {
            match rng.index(all.len() + names.len()).checked_sub(all.len()) {
                Some(at) => choice = choice.name(names[at].id, false),
                None => choice = choice.write(all[rng.index(all.len())].id, Fate::Dropped),
            }
        }
        add(format!("pair-{n}"), choice);
    }
    cuts
}

/// All of them, or of many the first, the last and some between.
fn some(all: &[Unsynced], most: usize) -> Vec<&Unsynced> {
    if all.len() <= most {
        return all.iter().collect();
    }
    let third = most / 3;
    let between = (all.len() - 2 * third).div_ceil(most - 2 * third);
    let picked = |n: &usize| *n < third || *n >= all.len() - third || (*n - third).is_multiple_of(between);
    (0..all.len()).filter(picked).map(|n| &all[n]).collect()
}

/// Sectors of a torn write. The kinds: any mix; the start is there and the rest is not; the start is not there and the
/// rest is.
fn tear(rng: &mut Rng, sectors: usize, kind: usize) -> Vec<Sector> {
    let mut torn: Vec<Sector> = (0..sectors).map(|_| Sector::ALL[rng.index(4)]).collect();
    let lost = [Sector::Old, Sector::Zero, Sector::Garbage][rng.index(3)];
    match kind % 3 {
        1 if sectors > 1 => {
            let at = 1 + rng.index(sectors - 1);
            torn[..at].fill(Sector::New);
            torn[at..].fill(lost);
        }
        2 if sectors > 1 => {
            torn.fill(Sector::New);
            torn[rng.index(sectors)] = lost;
        }
        _ => {}
    }
    torn
}
