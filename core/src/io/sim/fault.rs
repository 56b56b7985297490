//! Faults: which call fails, when, how; and the counters that prove it happened.

use std::io;

/// How a call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The device fails. A write may have left any prefix, a sync any subset of its pages.
    Eio,
    /// No space. Nothing was written, but by a sync as with `Eio`.
    Enospc,
    /// No file descriptor left.
    Emfile,
    /// A write stops in its middle and the rest fails. Other calls: as `Eio`.
    ShortWrite,
}

impl Fault {
    /// Every kind.
    pub const ALL: [Fault; 4] = [Fault::Eio, Fault::Enospc, Fault::Emfile, Fault::ShortWrite];

    /// What the failing call answers.
    pub(super) fn error(self) -> io::Error {
        io::Error::from_raw_os_error(match self {
            Fault::Eio | Fault::ShortWrite => codes::EIO,
            Fault::Enospc => codes::ENOSPC,
            Fault::Emfile => codes::EMFILE,
        })
    }
}

#[cfg(unix)]
use libc as codes;
#[cfg(windows)]
mod codes {
    use windows_sys::Win32::Foundation::{ERROR_DISK_FULL, ERROR_IO_DEVICE, ERROR_TOO_MANY_OPEN_FILES};

    pub const EIO: i32 = ERROR_IO_DEVICE as i32;
    pub const ENOSPC: i32 = ERROR_DISK_FULL as i32;
    pub const EMFILE: i32 = ERROR_TOO_MANY_OPEN_FILES as i32;
}

macro_rules! calls {
    ($($(#[$doc:meta])* $name:ident $word:literal,)*) => {
        /// A kind of call that can be made to fail.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Call { $($(#[$doc])* $name,)* }
        impl Call {
            /// Every kind.
            pub const ALL: &'static [Call] = &[$(Call::$name,)*];
            /// The counter of its calls.
            pub(super) fn counter(self) -> &'static str {
                match self { $(Call::$name => concat!("call: ", $word),)* }
            }
            /// The counter of its failures.
            pub(super) fn failure(self, fault: Fault) -> &'static str {
                match (self, fault) {
                    $((Call::$name, Fault::Eio) => concat!("fault: eio at ", $word),
                    (Call::$name, Fault::Enospc) => concat!("fault: enospc at ", $word),
                    (Call::$name, Fault::Emfile) => concat!("fault: emfile at ", $word),
                    (Call::$name, Fault::ShortWrite) => concat!("fault: short write at ", $word),)*
                }
            }
        }
    };
}

calls! {
    /// `Storage::create`
    Create "create",
    /// `Storage::open`
    Open "open",
    /// `File::write_at`
    Write "write",
    /// `File::sync`
    Sync "sync",
    /// `Storage::sync_directory`
    SyncDirectory "sync_directory",
    /// `File::read_at`
    Read "read",
    /// `Storage::remove`
    Remove "remove",
    /// `Storage::list`
    List "list",
    /// `File::punch`, `File::blank`
    Punch "punch",
    /// `File::map`
    Map "map",
    /// `Storage::lock`
    Lock "lock",
}

struct Planned {
    call: Call,
    left: u32,
    fault: Fault,
    sticky: bool,
}

/// The faults that are to come.
#[derive(Default)]
pub(super) struct Plan(Vec<Planned>);

impl Plan {
    pub fn add(&mut self, call: Call, after: u32, fault: Fault, sticky: bool) {
        self.0.push(Planned { call, left: after, fault, sticky });
    }

    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Counts one call and answers how it is to fail. Every plan for this kind of call counts it.
    pub fn due(&mut self, call: Call) -> Option<Fault> {
        let mut due = None;
        self.0.retain_mut(|planned| {
            if planned.call != call {
                return true;
            }
            if planned.left > 0 {
                planned.left -= 1;
                return true;
            }
            if due.is_some() {
                return true;
            }
            due = Some(planned.fault);
            planned.sticky
        });
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_comes_after_its_countdown_once_or_for_ever() {
        let mut plan = Plan::default();
        plan.add(Call::Write, 2, Fault::Eio, false);
        plan.add(Call::Sync, 0, Fault::Enospc, true);
        let writes: Vec<_> = (0..5).map(|_| plan.due(Call::Write)).collect();
        assert_eq!(writes, [None, None, Some(Fault::Eio), None, None]);
        assert_eq!([plan.due(Call::Sync), plan.due(Call::Sync)], [Some(Fault::Enospc); 2]);
        plan.clear();
        assert_eq!(plan.due(Call::Sync), None);
    }
}
