//! Goes through all states of all workloads, on all processors, or looks for the first one that fails.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::cuts::{AGAIN, Amount, Cut, cuts, round};
use super::examine::{examine, recover};
use super::tape::Recorded;
use super::workloads::{WORKLOADS, Workload};
use super::world::Shown;
use super::{Check, tape::Tape};
use oncelog::sim::{Log, World};

/// States that were opened.
#[derive(Clone, Copy, Debug, Default)]
pub struct Count {
    pub calls: usize,
    pub states: usize,
    /// Crashed again during or after the recovery.
    pub again: usize,
}

/// Plays a workload.
pub fn play(workload: &Workload) -> Result<Recorded, String> {
    let mut tape = Tape::new(workload.seed + 1_000 * round());
    let played = guarded(|| (workload.play)(&mut tape));
    played.map_err(|fault| format!("workload {} while it plays: {fault}", workload.name))?;
    Ok(tape.end())
}

/// A panic is a failure like any other.
fn guarded<T>(run: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Err(format!("panic: {}", text.unwrap_or_default()))
    })
}

/// Where in a workload the power is cut.
struct Place<'a> {
    workload: &'a Workload,
    recorded: &'a Recorded,
    prefix: usize,
}

/// One cut: after how many calls, what it did, and the last call in words.
#[derive(Clone)]
struct Step {
    prefix: usize,
    cut: String,
    call: String,
}

impl Step {
    fn new(log: &Log, prefix: usize, cut: &Cut) -> Step {
        let call = prefix.checked_sub(1).map_or("nothing".to_owned(), |last| log.describe(last));
        Step { prefix, cut: cut.name.clone(), call }
    }
}

impl Place<'_> {
    /// A state is named by the workload and its cuts, one in each life.
    fn failed(&self, steps: &[Step], fault: &str) -> String {
        let mut state = self.workload.name.to_owned();
        steps.iter().for_each(|step| state.push_str(&format!("/{}/{}", step.prefix, step.cut)));
        let calls: Vec<String> = steps.iter().map(|s| format!("after call {}: {}", s.prefix, s.call)).collect();
        format!(
            "{state}: {fault}\n  {}\n  repeat: ROUND={} STATE={state} cargo test --features sim --test \
             crash_states -- one_state --nocapture",
            calls.join("\n  then in the recovery of that "),
            round()
        )
    }

    /// One state. `again`: it is also crashed at every call of its recovery; `only`: in this way.
    fn state(&self, cut: &Cut, again: bool, only: Option<&[(usize, &str)]>) -> Result<Count, String> {
        let bounds = self.recorded.bounds(self.prefix, cut.kept);
        let image = || self.recorded.log.image(self.prefix, &cut.choice);
        let steps = [Step::new(&self.recorded.log, self.prefix, cut)];
        let way = cut.name.bytes().map(usize::from).sum::<usize>() + self.prefix;
        let seen = guarded(|| examine(&image(), self.recorded, bounds, way));
        let seen = seen.map_err(|fault| self.failed(&steps, &fault))?;
        let mut count = Count { states: 1, ..Count::default() };
        if again {
            count.again = self.again(&image, &seen, &steps, only)?;
        }
        Ok(count)
    }

    /// Recovers, and crashes that recovery at each of its calls; a few of what that leaves once more.
    fn again(
        &self,
        image: &dyn Fn() -> World,
        names: &Shown,
        steps: &[Step],
        only: Option<&[(usize, &str)]>,
    ) -> Result<usize, String> {
        let recovery = guarded(|| recover(&image(), self.recorded));
        let recovery = recovery.map_err(|fault| self.failed(steps, &fault))?;
        let mut count = 0;
        for prefix in 0..=recovery.log.calls() {
            for cut in cuts(&recovery.log, prefix, AGAIN) {
                if only.is_some_and(|only| only[0] != (prefix, &*cut.name)) {
                    continue;
                }
                let image = || recovery.log.image(prefix, &cut.choice);
                let mut steps = steps.to_vec();
                steps.push(Step::new(&recovery.log, prefix, &cut));
                let checked = guarded(|| recovery.examine(&image(), self.recorded, prefix, names));
                checked.map_err(|fault| self.failed(&steps, &fault))?;
                count += 1;
                let deeper = match only {
                    Some(only) => only.len() > 1,
                    None => steps.len() < 3 && (count as u64).is_multiple_of(AGAIN.again),
                };
                if deeper {
                    count += self.again(&image, names, &steps, only.map(|only| &only[1..]))?;
                }
            }
        }
        Ok(count)
    }
}

/// All states after the first `prefix` calls of a workload.
fn prefix(workload: &Workload, recorded: &Recorded, prefix: usize, amount: Amount) -> Result<Count, String> {
    let place = Place { workload, recorded, prefix };
    let mut total = Count { calls: 1, ..Count::default() };
    for (n, cut) in cuts(&recorded.log, prefix, amount).iter().enumerate() {
        // Spread evenly, and other ones for each number of calls.
        let chosen = amount.again > 0 && (n as u64 + prefix as u64 * 37).is_multiple_of(amount.again);
        let count = place.state(cut, chosen, None)?;
        (total.states, total.again) = (total.states + count.states, total.again + count.again);
    }
    Ok(total)
}

/// Opens every state of every workload.
pub fn sweep(amount: Amount) -> Result<BTreeMap<&'static str, Count>, String> {
    const CHUNK: usize = 8;
    let mut jobs = Vec::new();
    for workload in WORKLOADS {
        let calls = play(workload)?.log.calls();
        jobs.extend((0..=calls).step_by(CHUNK).map(|from| (workload, from, (from + CHUNK).min(calls + 1))));
    }
    let next = AtomicUsize::new(0);
    let counts = Mutex::new(BTreeMap::<&'static str, Count>::new());
    let failures = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| {
                let mut played: Option<(&str, Recorded)> = None;
                while let Some((workload, from, to)) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if failures.lock().unwrap().len() >= 4 {
                        return;
                    }
                    if played.as_ref().is_none_or(|(name, _)| *name != workload.name) {
                        match play(workload) {
                            Ok(recorded) => played = Some((workload.name, recorded)),
                            Err(fault) => return failures.lock().unwrap().push(fault),
                        }
                    }
                    let Some((_, recorded)) = &played else { return };
                    for calls in *from..*to {
                        match prefix(workload, recorded, calls, amount) {
                            Ok(count) => {
                                let mut counts = counts.lock().unwrap();
                                let total = counts.entry(workload.name).or_default();
                                total.calls += count.calls;
                                (total.states, total.again) = (total.states + count.states, total.again + count.again);
                            }
                            Err(fault) => failures.lock().unwrap().push(fault),
                        }
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap();
    match failures.is_empty() {
        true => Ok(counts.into_inner().unwrap()),
        false => Err(failures.join("\n\n")),
    }
}

/// The first state of a workload that fails, on this thread.
pub fn hunt(workload: &Workload, amount: Amount) -> Check {
    let recorded = play(workload)?;
    for calls in 0..=recorded.log.calls() {
        prefix(workload, &recorded, calls, amount)?;
    }
    Ok(())
}

/// One state by the name that a failure printed.
pub fn one(state: &str) -> Check {
    let words: Vec<&str> = state.split('/').collect();
    let unknown = || format!("STATE={state}: no such state; take the one that a failure printed");
    let workload = WORKLOADS.iter().find(|w| w.name == words[0]).ok_or_else(unknown)?;
    let recorded = play(workload)?;
    let Some(prefix) = words.get(1) else { return hunt(workload, super::cuts::FULL) };
    let prefix: usize = prefix.parse().map_err(|_| unknown())?;
    let cuts = cuts(&recorded.log, prefix, super::cuts::FULL);
    let place = Place { workload, recorded: &recorded, prefix };
    for n in prefix.saturating_sub(6)..prefix {
        println!("call {n}: {}", recorded.log.describe(n));
    }
    let cut = words.get(2).and_then(|name| cuts.iter().find(|cut| cut.name == *name)).ok_or_else(unknown)?;
    let mut again = Vec::new();
    for pair in words[3..].chunks(2) {
        again.push((pair[0].parse().map_err(|_| unknown())?, *pair.get(1).ok_or_else(unknown)?));
    }
    let (least, most) = recorded.bounds(prefix, cut.kept);
    println!("{least} to {most} operations are due, of {}", recorded.ops.len());
    for n in least.saturating_sub(2)..most {
        println!("operation {n}: {:?}", recorded.ops[n].what);
    }
    let only = Some(&*again).filter(|again| !again.is_empty());
    place.state(cut, only.is_some(), only).map(drop)
}
