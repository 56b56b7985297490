//! Reading a log through.
#![allow(unsafe_code)]

use std::ffi::c_void;

use engine::{Damage, Verification};

use crate::call::call;
use crate::engine_handle::{damages, oncelog_engine_t};
use crate::error::oncelog_error_t;
use crate::handle::find;
use crate::structs::{oncelog_damage_t, sized};

/// What reading a log through found.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct oncelog_verification_t {
    /// sizeof(oncelog_verification_t), set by the caller.
    pub struct_size: u32,
    /// 0.
    pub reserved: u32,
    /// Segments read.
    pub segments: u64,
    /// Frames in them that are whole.
    pub frames: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Places where durable frames are damaged: so often `visit` was called.
    pub damage_count: u64,
}

sized! {
    oncelog_verification_t from 40;
}

/// Is told of damage; what it points to lives until it returns.
pub type oncelog_damage_fn = Option<unsafe extern "C" fn(context: *mut c_void, damage: *const oncelog_damage_t)>;

/// Reads all that is durable, segment after segment, and verifies each frame: whether the disk still holds what it was
/// given, as often as you like. Damage is no error here but the answer: `visit`, which may be NULL, is called with each
/// by this call and this thread, when all is read, and may call anything. Appends and reads of other threads go on
/// meanwhile. What is not flushed yet is left out: call `oncelog_flush` before, if it matters. It reads some gigabytes
/// a second from the page cache, else as fast as the device does. Set `out->struct_size` first.
///
/// Errors: IO if a file cannot be read; CLOSED, FORKED.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn oncelog_verify(
    engine: *const oncelog_engine_t,
    visit: oncelog_damage_fn,
    context: *mut c_void,
    out: *mut oncelog_verification_t,
) -> *mut oncelog_error_t {
    call(|c| {
        // No handle is held while it reads, so another thread may close it.
        let (engine, out) = (find(engine)?.engine.clone(), c.sized_out(out)?);
        let Verification { segments, frames, bytes, damage, .. } = engine.verify()?;
        let damage_count = damage.len() as u64;
        out.set(oncelog_verification_t { struct_size: 0, reserved: 0, segments, frames, bytes, damage_count });
        tell(&damage, visit, context);
        Ok(())
    })
}

fn tell(damage: &[Damage], visit: oncelog_damage_fn, context: *mut c_void) {
    let Some(visit) = visit else { return };
    for damage in damages(damage).items() {
        // SAFETY: the caller's function, called by its own thread, and a struct that outlives the call.
        unsafe { visit(context, damage) };
    }
}
