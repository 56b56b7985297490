//! A descriptor that an event loop can watch: readable while it is raised. One of the six files with unsafe code.
//!
//! An eventfd where there is one; elsewhere a pair of sockets, which unlike a pipe can be made non-blocking and closed
//! on exec by the standard library, and raises no signal. On Windows the sockets are of the network, within the
//! machine: what watches there watches sockets or can have an event of one.
#![allow(unsafe_code)]

use std::io::{self, Read, Write};
#[cfg(unix)]
use std::os::fd::{AsRawFd, RawFd};
#[cfg(windows)]
use std::os::windows::io::{AsRawSocket, RawSocket};

use super::fork;

/// What an event loop watches: a file descriptor; on Windows a socket.
#[cfg(unix)]
pub type Descriptor = RawFd;
/// What an event loop watches: a file descriptor; on Windows a socket.
#[cfg(windows)]
pub type Descriptor = RawSocket;

/// Raised and lowered by whoever guards what it stands for: two calls at once would be lost in each other.
pub struct Wake {
    made: Made,
    /// The process that made it. A forked child has the same descriptor, and what it did to it its parent would feel.
    forks: u32,
}

#[cfg(any(target_os = "linux", target_os = "android"))]
type Made = eventfd::Counter;
#[cfg(all(unix, not(any(target_os = "linux", target_os = "android"))))]
type Made = pair::Pair;
#[cfg(windows)]
type Made = loopback::Pair;

impl Wake {
    /// True where what was raised may become readable only when it was lowered again: then it must be lowered whenever
    /// it is found readable.
    pub const LATE: bool = cfg!(windows);

    /// A descriptor that is not raised.
    pub fn new() -> io::Result<Wake> {
        // A handle that knows a forked child from its parent, whether or not a log was opened yet.
        fork::install()?;
        Ok(Wake { made: Made::new()?, forks: fork::generation() })
    }

    /// What to watch for reading. It stays open as long as this lives.
    pub fn descriptor(&self) -> Descriptor {
        #[cfg(unix)]
        return self.made.reader().as_raw_fd();
        #[cfg(windows)]
        return self.made.reader().as_raw_socket();
    }

    /// True in a process forked from the one that made it.
    pub fn is_forked(&self) -> bool {
        fork::generation() != self.forks
    }

    /// Makes it readable, by one write.
    pub fn raise(&self) {
        // Room for one is always there: it is lowered before it is raised again.
        let _ = again(|| self.made.writer().write(&1u64.to_ne_bytes()));
    }

    /// Makes it unreadable, by one read.
    pub fn lower(&self) {
        // Nothing there is the same as lowered. As much as there is: what came late too.
        let _ = again(|| self.made.reader().read(&mut [0; if Self::LATE { 64 } else { 8 }]));
    }
}

/// The same call, until no signal comes between.
fn again(mut call: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
mod eventfd {
    use std::fs::File;
    use std::io;
    use std::os::fd::{FromRawFd, OwnedFd};

    pub struct Counter(File);

    impl Counter {
        pub fn new() -> io::Result<Counter> {
            // SAFETY: takes two numbers and makes a descriptor, or answers below zero.
            let descriptor = unsafe { libc::eventfd(0, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC) };
            if descriptor < 0 {
                return Err(io::Error::last_os_error());
            }
            // SAFETY: the descriptor was made just now and nobody else owns it.
            Ok(Counter(File::from(unsafe { OwnedFd::from_raw_fd(descriptor) })))
        }

        pub fn reader(&self) -> &File {
            &self.0
        }

        pub fn writer(&self) -> &File {
            &self.0
        }
    }
}

#[cfg(all(unix, any(test, not(any(target_os = "linux", target_os = "android")))))]
mod pair {
    use std::io;
    use std::os::unix::net::UnixStream;

    pub struct Pair(UnixStream, UnixStream);

    impl Pair {
        pub fn new() -> io::Result<Pair> {
            let (reader, writer) = UnixStream::pair()?;
            reader.set_nonblocking(true)?;
            writer.set_nonblocking(true)?;
            Ok(Pair(reader, writer))
        }

        pub fn reader(&self) -> &UnixStream {
            &self.0
        }

        pub fn writer(&self) -> &UnixStream {
            &self.1
        }
    }
}

#[cfg(any(test, windows))]
mod loopback {
    use std::io;
    use std::net::{Ipv4Addr, TcpListener, TcpStream};

    pub struct Pair(TcpStream, TcpStream);

    impl Pair {
        pub fn new() -> io::Result<Pair> {
            let door = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
            let writer = TcpStream::connect(door.local_addr()?)?;
            // Any process of the machine may knock meanwhile.
            let reader = loop {
                let (reader, from) = door.accept()?;
                if from == writer.local_addr()? {
                    break reader;
                }
            };
            writer.set_nodelay(true)?;
            reader.set_nonblocking(true)?;
            writer.set_nonblocking(true)?;
            Ok(Pair(reader, writer))
        }

        pub fn reader(&self) -> &TcpStream {
            &self.0
        }

        pub fn writer(&self) -> &TcpStream {
            &self.1
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads one signal, if there is one.
    fn taken(mut reader: impl Read) -> bool {
        match reader.read(&mut [0; 8]) {
            Ok(bytes) => bytes == 8,
            Err(error) => {
                assert_eq!(error.kind(), io::ErrorKind::WouldBlock, "an empty descriptor must not block");
                false
            }
        }
    }

    /// The same, once there is one.
    fn taken_soon(mut reader: impl Read) {
        while !taken(&mut reader) {
            std::thread::yield_now();
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_raised_descriptor_is_readable_until_it_is_lowered() {
        let wake = Wake::new().unwrap();
        for _ in 0..3 {
            wake.lower();
            assert!(!taken(wake.made.reader()));
            wake.raise();
            assert!(taken(wake.made.reader()));
            wake.raise();
            wake.lower();
        }
        assert!(!wake.is_forked());
    }

    #[test]
    fn what_is_raised_is_seen_soon_and_neither_end_ever_blocks() {
        let (wake, pair) = (Wake::new().unwrap(), loopback::Pair::new().unwrap());
        for _ in 0..3 {
            assert!(!taken(wake.made.reader()) && !taken(pair.reader()) && !taken(pair.writer()));
            wake.raise();
            taken_soon(wake.made.reader());
            pair.writer().write_all(&1u64.to_ne_bytes()).unwrap();
            taken_soon(pair.reader());
        }
    }

    #[cfg(unix)]
    #[test]
    fn both_kinds_close_on_exec_and_never_block() {
        let (counter, pair) = (Made::new().unwrap(), pair::Pair::new().unwrap());
        for descriptor in [counter.reader().as_raw_fd(), pair.reader().as_raw_fd(), pair.writer().as_raw_fd()] {
            // SAFETY: asks for the flags of a descriptor that is open.
            let (on_exec, status) =
                unsafe { (libc::fcntl(descriptor, libc::F_GETFD), libc::fcntl(descriptor, libc::F_GETFL)) };
            assert!(on_exec & libc::FD_CLOEXEC != 0 && status & libc::O_NONBLOCK != 0);
        }
        pair.writer().write_all(&1u64.to_ne_bytes()).unwrap();
        assert!(taken(pair.reader()) && !taken(pair.reader()));
    }
}
