//! Finished things in one queue with one descriptor, for event loops. Callbacks run inside `oncelog_completions_drain`.
#![allow(unsafe_code)]

use std::ffi::c_void;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{Acquire, Release};
use std::sync::{Arc, Weak};

use engine::io::sync::Mutex;
use engine::{Completions, Descriptor, Engine, Error, ErrorKind, Lsn};

use crate::alone::Alone;
use crate::call::{Answer, call};
use crate::consumer::oncelog_consumer_t;
use crate::engine_handle::oncelog_engine_t;
use crate::error::{Fault, oncelog_error_t};
use crate::handle::{Place, end, find, handle, make, place};
use crate::ticket::{Given, Pending, State, lock, lost, oncelog_ticket_t, with_ticket};

/// A queue of what has finished, with a descriptor for poll, select, epoll and their like. Any number of threads may
/// use it.
pub struct oncelog_completions_t;

handle!(oncelog_completions_t, Completions, Queue);

/// An int; on Windows as wide as a pointer.
pub type oncelog_fd_t = Descriptor;

/// Takes the answer of a ticket that was watched. `error` is NULL, or what the call failed with. Ask the ticket with
/// `oncelog_ticket_appended` and its like. Both live during the call only and must not be freed in it. It may call the
/// library, and watch other tickets; it must return: no exception, no longjmp.
pub type oncelog_done_fn =
    Option<unsafe extern "C" fn(context: *mut c_void, ticket: *mut oncelog_ticket_t, error: *const oncelog_error_t)>;

/// Is told that a consumer is ready, or gone. The same holds as for `oncelog_done_fn`.
pub type oncelog_ready_fn = Option<unsafe extern "C" fn(context: *mut c_void)>;

/// What is behind a queue's handle.
pub struct Queue {
    engine: Engine,
    /// False: draining does the engine's background work.
    threads: bool,
    /// Gone with the queue, and its descriptor with it: a consumer that is watched must not keep it.
    completions: Arc<Completions<Done>>,
    /// Nobody is to be called any more.
    freed: AtomicBool,
    spare: Mutex<Vec<Done>>,
}

/// Something that has finished.
enum Done {
    Ticket(
        Call<unsafe extern "C" fn(*mut c_void, *mut oncelog_ticket_t, *const oncelog_error_t)>,
        Result<Given, Error>,
        // What the ticket says of its frame, as in `State::Done`.
        Lsn,
        // Taken when the ticket was watched: a callback that was promised is made.
        Place<oncelog_ticket_t>,
    ),
    Ready(Call<unsafe extern "C" fn(*mut c_void)>),
}

/// A caller's function and what it wants to be called with.
struct Call<F> {
    function: F,
    context: *mut c_void,
}

// SAFETY: the context is only handed back, inside a call to drain; the header says that any thread may make that call.
unsafe impl<F> Send for Call<F> {}

/// A consumer's callback on its way: queued when this is dropped. So it comes when a poll would answer, and also when
/// the consumer is gone and nobody will ever look: the engine drops then what it did not call, and a context that is
/// freed in its callback would be lost.
struct Promised {
    /// A queue that is gone calls nobody.
    completions: Weak<Completions<Done>>,
    function: unsafe extern "C" fn(*mut c_void),
    context: *mut c_void,
}

// SAFETY: as of `Call`.
unsafe impl Send for Promised {}

impl Drop for Promised {
    fn drop(&mut self) {
        if let Some(completions) = self.completions.upgrade() {
            completions.push(Done::Ready(Call { function: self.function, context: self.context }));
        }
    }
}

impl Done {
    fn run(self) {
        match self {
            Done::Ready(Call { function, context }) => {
                // SAFETY: whoever gave the function promised that it may be called with its context.
                unsafe { function(context) };
            }
            Done::Ticket(Call { function, context }, answer, lsn, place) => {
                let error = match &answer {
                    Ok(_) => std::ptr::null_mut(),
                    Err(error) => Fault::from(error.clone()).into_handle(),
                };
                let ticket = place.make(Alone::new(State::Done(answer, lsn)));
                // SAFETY: as above.
                unsafe { function(context, ticket, error) };
                // Both may be gone: a caller who freed them did no harm.
                let _ = end(ticket);
                crate::error::oncelog_error_free(error);
            }
        }
    }
}

fn given<F>(function: Option<F>, context: *mut c_void) -> Answer<Call<F>> {
    let null = || Fault::new(ErrorKind::InvalidArgument, "callback is NULL; it must be given");
    Ok(Call { function: function.ok_or_else(null)?, context })
}

/// Opens a queue for what an engine does. Free it with `oncelog_completions_free`.
///
/// Errors: IO if the process may open no more descriptors; CLOSED.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn oncelog_completions_open(
    engine: *const oncelog_engine_t,
    out: *mut *mut oncelog_completions_t,
) -> *mut oncelog_error_t {
    call(|c| {
        let (open, out) = (find(engine)?, c.out(out, "out")?);
        let completions = Arc::new(Completions::new()?);
        let (engine, threads) = (open.engine.clone(), open.threads);
        let freed = AtomicBool::new(false);
        out.set(make(Queue { engine, threads, completions, freed, spare: Mutex::default() })?);
        Ok(())
    })
}

/// The queue's descriptor: readable while something is queued. Only watch it: `oncelog_completions_drain` clears it,
/// `oncelog_completions_free` closes it. An engine without threads makes nothing readable by itself: drain its queue at
/// least as often as batches may linger. On Windows it is a socket, for select, WSAPoll, WSAEventSelect and the loops
/// built on them; now and then it is readable for nothing, so drain whenever it is.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn oncelog_completions_fd(
    completions: *const oncelog_completions_t,
    out: *mut oncelog_fd_t,
) -> *mut oncelog_error_t {
    call(|c| {
        let (queue, out) = (find(completions)?, c.out(out, "out")?);
        out.set(queue.completions.descriptor());
        Ok(())
    })
}

/// Has `callback` called with the ticket's answer, once, by a later `oncelog_completions_drain`. The ticket is used up;
/// after an error it is as it was. What one thread sends to a partition and watches is answered in the order of the
/// sends, but for refusals and for tickets that were waited for before. Closing the engine answers all tickets. A queue
/// that is freed calls nobody any more.
///
/// Errors: BUSY while a thread waits for the ticket; CLOSED if it was used up before, or the queue was freed.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn oncelog_completions_watch(
    completions: *const oncelog_completions_t,
    ticket: *mut oncelog_ticket_t,
    callback: oncelog_done_fn,
    context: *mut c_void,
) -> *mut oncelog_error_t {
    call(|_| {
        let (queue, state) = (find(completions)?, find(ticket)?);
        let (call, place) = (given(callback, context)?, place()?);
        let taken = std::mem::replace(&mut *lock(&state)?, State::Lost);
        let _ = end(ticket);
        let watch = &queue.completions;
        match taken {
            State::Pending(mut pending) => {
                let lsn = pending.placed_lsn();
                with_ticket!(pending, ticket => {
                    watch.watch(ticket, move |answer| Done::Ticket(call, answer.map(Given::from), lsn, place));
                })
            }
            State::Done(answer, lsn) => watch.push(Done::Ticket(call, answer, lsn, place)),
            State::Lost => return Err(lost()),
        }
        Ok(())
    })
}

/// Has `callback` called once, by a later `oncelog_completions_drain`, when a poll of the consumer would answer records
/// or an error; at once if it would now. Freeing the consumer calls it too, with the end of the transaction that holds
/// the consumer, if one does: a poll would answer CLOSED. A queue that is freed calls nobody any more.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn oncelog_completions_watch_consumer(
    completions: *const oncelog_completions_t,
    consumer: *const oncelog_consumer_t,
    callback: oncelog_ready_fn,
    context: *mut c_void,
) -> *mut oncelog_error_t {
    call(|_| {
        let (queue, reading) = (find(completions)?, find(consumer)?);
        let Call { function, context } = given(callback, context)?;
        let promised = Promised { completions: Arc::downgrade(&queue.completions), function, context };
        reading.consumer.on_ready(move || drop(promised));
        Ok(())
    })
}

/// Runs the callbacks of everything queued, in the order in which it finished, on this thread; `count` tells how many,
/// and may be NULL. Never waits, but does the background work that is due where the engine was opened with
/// `.threads = ONCELOG_NO`, as `oncelog_drive` does.
///
/// Errors: FORKED in a forked child, whose parent owns the queue; else those of that background work: the callbacks
/// have run all the same.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn oncelog_completions_drain(
    completions: *const oncelog_completions_t,
    count: *mut usize,
) -> *mut oncelog_error_t {
    call(|c| {
        let (queue, out) = (find(completions)?, c.optional_out(count, "count")?);
        let driven = if queue.threads { Ok(()) } else { queue.engine.drive() };
        // A callback may drain too: it finds another list.
        let mut done = queue.spare.try_lock().map(|mut spare| std::mem::take(&mut *spare)).unwrap_or_default();
        queue.completions.drain(&mut done)?;
        let mut count = 0;
        for one in done.drain(..) {
            if queue.freed.load(Acquire) {
                break;
            }
            one.run();
            count += 1;
        }
        if let Some(mut spare) = queue.spare.try_lock() {
            *spare = done;
        }
        if let Some(out) = out {
            out.set(count);
        }
        match driven {
            // Closing the engine answered everything; there is nothing to drive.
            Err(error) if error.kind() != ErrorKind::Closed => Err(error.into()),
            _ => Ok(()),
        }
    })
}

/// Frees a queue and closes its descriptor; inside a callback, when the drain that called it returns. Callbacks that
/// have not run never will, but one that another thread's drain has come to may still run: have that thread stop first
/// if what `context` points to is to go. NULL is no error.
#[unsafe(no_mangle)]
pub extern "C" fn oncelog_completions_free(completions: *mut oncelog_completions_t) -> *mut oncelog_error_t {
    call(|_| {
        if completions.is_null() {
            return Ok(());
        }
        find(completions)?.freed.store(true, Release);
        end(completions)
    })
}
