//! Opening, in order: the lock, the journal, the partitions, the keeper.

use std::sync::Arc;

use super::attend::Attention;
use super::close::Closing;
use super::hub::Hub;
use super::log::Teller;
use super::memory::Memory;
use super::metrics::Counts;
use super::restore::Restoring;
use super::{Door, Inner, Settings};
use crate::error::{Error, ErrorKind, Result};
use crate::format::decision::Cause;
use crate::io::sync::Mutex;
use crate::io::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::io::{Event, Machine, fork};
use crate::journal::{Journal, JournalOptions, Opening};
use crate::limits::{SEGMENT_MIN, SEGMENT_OPTION_MAX, TRANSACTION_OFFSETS_MEMORY};
use crate::partition::Footers;

impl Inner {
    /// Opens the log in the machine's directory, making it if there is none.
    pub fn open(machine: Machine, settings: Settings) -> Result<Arc<Inner>> {
        check(&settings)?;
        let lock = machine.storage.lock(!settings.read_only)?;
        let teller = Teller::new(settings.log.clone());
        let hub = Arc::new(Hub::new(settings.durability, settings.visibility, teller.clone()));
        let mut restoring = Restoring::new(hub.clone());
        let opening = Opening {
            options: JournalOptions {
                segment_bytes: settings.segment_bytes.next_multiple_of(4096),
                flush_every: settings.flush_interval_ms.saturating_mul(1_000_000),
            },
            read_only: settings.read_only,
            accept_loss: settings.accept_loss,
        };
        let (journal, report) = Journal::open(machine.clone(), opening, hub.clone(), &mut restoring)?;
        let refused = report.refused.clone().or_else(|| settings.read_only.then(read_only));
        let first_written = match &refused {
            // Nothing will be written: all there is lies in segments of earlier lives.
            Some(_) => u64::MAX,
            None => journal.segments().newest(),
        };
        let opened = restoring.opened.unwrap_or_default();
        let (incarnation, cuts) = journal.look(|state, _| (state.incarnation, state.cuts()));
        let (footers, journal) = (Footers::new(first_written), Arc::new(journal));
        // Before there is an engine to close: its footers would leave out what was not seeded.
        seed(&journal, &hub, &footers, report.continued)?;
        let inner = Arc::new(Inner {
            footers,
            incarnation,
            cuts,
            next_number: AtomicU64::new(opened.first_number),
            last_number: opened.first_number.saturating_add(opened.numbers),
            attention: Attention::new(journal.clone()),
            journal,
            buffered: Memory::new(settings.transaction_memory),
            buffered_offsets: Memory::new(TRANSACTION_OFFSETS_MEMORY),
            settings,
            machine,
            hub,
            report,
            refused,
            door: Door { closed: AtomicBool::new(false), forks: fork::generation() },
            lock: Mutex::new(Some(lock)),
            keeper: Default::default(),
            flusher: Default::default(),
            rounds: Mutex::new(()),
            chores: Mutex::new(()),
            lingering: Mutex::default(),
            lagging: Mutex::default(),
            counts: Counts::default(),
            teller,
            expiry: Mutex::default(),
            overdue: Mutex::default(),
            transacting: Mutex::default(),
            awake_at: AtomicU64::new(0),
            told_of_poison: AtomicBool::new(false),
            closing: Mutex::new(Closing::Open),
            closed_event: Event::default(),
        });
        // What recovery copied was counted by the life that wrote it.
        inner.hub.batches.store(0, Ordering::Relaxed);
        inner.hub.records.store(0, Ordering::Relaxed);
        inner.log_opening();
        inner.settle_past()?;
        // A log that is only read has callbacks too.
        if inner.settings.threads {
            inner.start_threads()?;
        }
        Ok(inner)
    }

    /// Before anything is served: a loss that was accepted is final, and what the last life left open is aborted.
    fn settle_past(&self) -> Result<()> {
        let holes = &self.report.holes;
        if self.refused.is_none() && holes.iter().any(|hole| !hole.records_only) {
            // From now on they lie below the newest checkpoint.
            let made = self.journal.checkpoint();
            // Where the life that accepted a loss could not make it, each that finds the hole leaves numbers out: then
            // it is time, but nothing depends on it.
            if holes.iter().any(|hole| hole.refuses()) {
                made?;
            }
        }
        if self.refused.is_some() {
            // Nobody ends here what the last life left open.
            let open = self.journal.look(|state, _| state.open_transactions());
            self.counts.open.store(open as u64, Ordering::Relaxed);
        } else if let Some(lsn) = self.abort_left_over(Cause::Reopen)? {
            self.flushed(lsn)?;
        }
        Ok(())
    }
}

/// The segment that goes on behind a clean close: what it holds already becomes live runs.
fn seed(journal: &Journal<Hub>, hub: &Hub, footers: &Footers, continued: Option<u64>) -> Result<()> {
    let Some(segment) = continued else { return Ok(()) };
    let (holdings, decisions) = footers.holdings(journal.segments(), segment)?;
    for decided in decisions {
        if let Some(partition) = hub.partition(decided.instance) {
            partition.seed_decisions(segment, decided);
        }
    }
    for holding in holdings {
        if let Some(partition) = hub.partition(holding.instance) {
            partition.seed((segment, journal.durable_lsn()), holding);
        }
    }
    Ok(())
}

/// What a write answers to a log that was opened for reading.
fn read_only() -> Error {
    Error::new(ErrorKind::ReadOnly, "the log was opened for reading; open it for writing")
}

fn check(settings: &Settings) -> Result<()> {
    if !(SEGMENT_MIN..=SEGMENT_OPTION_MAX).contains(&settings.segment_bytes) {
        let message = format!(
            "the size of a segment is out of range, bytes; least={SEGMENT_MIN} most={SEGMENT_OPTION_MAX} given={}",
            settings.segment_bytes
        );
        return Err(Error::new(ErrorKind::InvalidArgument, message));
    }
    if settings.flush_interval_ms == 0 || settings.flush_interval_ms > 3_600_000 {
        let message = format!(
            "the flush interval is out of range, milliseconds; least=1 most=3600000 given={}",
            settings.flush_interval_ms
        );
        return Err(Error::new(ErrorKind::InvalidArgument, message));
    }
    let (most, given) = (u64::from(u32::MAX), settings.transaction_timeout_max_ms);
    if !(1..=most).contains(&given) {
        let text = "the longest timeout of transactions is out of range, milliseconds";
        return Err(Error::new(ErrorKind::InvalidArgument, format!("{text}; least=1 most={most} given={given}")));
    }
    Ok(())
}
