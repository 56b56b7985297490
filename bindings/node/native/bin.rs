//! Drops things whose drop may wait for the disk, such as the last handle to a log, on a thread of its own. The garbage
//! collector runs on JavaScript's thread, which never waits.

use std::sync::OnceLock;
use std::sync::mpsc::{Sender, channel};

type Rubbish = Box<dyn Send>;

static BIN: OnceLock<Option<Sender<Rubbish>>> = OnceLock::new();

fn bin() -> Option<&'static Sender<Rubbish>> {
    let open = || {
        let (sender, receiver) = channel::<Rubbish>();
        let thread = std::thread::Builder::new().name("oncelog-bin".into());
        thread.spawn(move || receiver.into_iter().for_each(drop)).ok().map(|_| sender)
    };
    BIN.get_or_init(open).as_ref()
}

/// Drops `rubbish` elsewhere; here, if there can be no other thread.
pub fn throw_away(rubbish: impl Send + 'static) {
    if let Some(bin) = bin() {
        // The receiver lives as long as the process.
        let _ = bin.send(Box::new(rubbish));
    }
}

/// Waits until all that was thrown away before is gone, a log that nobody holds any more for one.
pub fn empty() {
    if BIN.get().is_some() {
        let (last, gone) = channel::<()>();
        throw_away(last);
        // Nothing is ever sent: it ends when the other end is dropped.
        let _ = gone.recv();
    }
}
