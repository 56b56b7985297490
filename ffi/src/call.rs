//! The door: every exported call that may fail goes through `call`, and reads its caller's pointers through `Caller`.
#![allow(unsafe_code)]

use std::any::Any;
use std::ffi::{CStr, c_char, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};

use engine::ErrorKind;

use crate::error::{Fault, oncelog_error_t};
use crate::logger;

/// What a call inside the library answers.
pub type Answer<T = ()> = Result<T, Fault>;

/// Runs a call: no panic leaves it, and what the log has to say is said before it returns. To be called from exported
/// functions alone: they are what keeps `Caller`'s promise.
pub fn call(body: impl FnOnce(&Caller) -> Answer) -> *mut oncelog_error_t {
    let answer = match catch_unwind(AssertUnwindSafe(|| body(&Caller(())))) {
        Ok(Ok(())) => std::ptr::null_mut(),
        Ok(Err(fault)) => fault.into_handle(),
        Err(panic) => panicked(panic).into_handle(),
    };
    logger::deliver();
    answer
}

#[cold]
fn panicked(panic: Box<dyn Any + Send>) -> Fault {
    let what = match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(text), _) => (*text).to_owned(),
        (None, Some(text)) => text.clone(),
        (None, None) => "a value without a text".to_owned(),
    };
    // What a panic carries may panic again when it is dropped.
    std::mem::forget(panic);
    Fault::new(ErrorKind::Panic, format!("a panic was caught; close the log and report this, panic={what}"))
}

/// Stands for a caller in C, who promises what the header asks for: each pointer is NULL or points to what the function
/// says, and that stays as it is until the call returns. Exists during calls only.
pub struct Caller(());

fn invalid(message: String) -> Fault {
    Fault::new(ErrorKind::InvalidArgument, message)
}

#[cold]
fn is_null(what: &str) -> Fault {
    invalid(format!("{what} is NULL; it must be given"))
}

/// A place for an answer.
pub struct Out<T>(*mut T);

impl<T> Out<T> {
    /// Writes the answer. The last thing that a call does.
    pub fn set(self, value: T) {
        // SAFETY: not NULL and aligned, as `Caller::out` saw; the caller promises that it may be written.
        unsafe { self.0.write(value) }
    }
}

/// Tells a number that may not be there: `out` is 0 then, and `known` false.
pub fn tell(out: Out<u64>, known: Out<bool>, number: Option<u64>) {
    out.set(number.unwrap_or(0));
    known.set(number.is_some());
}

/// A struct that may grow at its end, and begins with its size.
///
/// # Safety
/// All fields are integers, pointers or optional functions, so that zeros are a value; the first one is the `u32`.
pub unsafe trait Sized32: Copy {
    /// Its size in the first version that had it.
    const SMALLEST: usize;
    /// Its name in the header.
    const NAME: &'static str;
}

/// Larger sizes are garbage, not a later version.
const SIZE_MAX: usize = 4096;

impl Caller {
    /// A text that must be given.
    pub fn text<'c>(&'c self, text: *const c_char, what: &str) -> Answer<&'c str> {
        self.optional_text(text, what)?.ok_or_else(|| is_null(what))
    }

    /// A text that may be NULL.
    pub fn optional_text<'c>(&'c self, text: *const c_char, what: &str) -> Answer<Option<&'c str>> {
        if text.is_null() {
            return Ok(None);
        }
        // SAFETY: the caller promises a text that ends with NUL and stays during the call.
        let bytes: &'c CStr = unsafe { CStr::from_ptr(text) };
        match bytes.to_str() {
            Ok(text) => Ok(Some(text)),
            Err(_) => {
                Err(invalid(format!("{what} is not UTF-8, or in C++ holds a NUL; encode it as UTF-8 without one")))
            }
        }
    }

    /// Bytes; NULL stands for none at all, which is not the same as no bytes.
    #[inline(always)]
    pub fn bytes<'c>(&'c self, bytes: *const c_void, size: usize, what: &str) -> Answer<Option<&'c [u8]>> {
        if bytes.is_null() {
            return if size == 0 { Ok(None) } else { Err(null_with_size(what, size)) };
        }
        if size > isize::MAX as usize {
            return Err(too_long(what, size));
        }
        // SAFETY: the caller promises `size` bytes that stay during the call; more than an object may have was refused.
        Ok(Some(unsafe { std::slice::from_raw_parts(bytes.cast(), size) }))
    }

    /// An array.
    pub fn array<'c, T: Copy>(&'c self, items: *const T, count: usize, what: &str) -> Answer<&'c [T]> {
        if count == 0 {
            return Ok(&[]);
        }
        if items.is_null() {
            return Err(null_with_size(what, count));
        }
        if count > isize::MAX as usize / size_of::<T>() {
            return Err(too_long(what, count));
        }
        if !items.is_aligned() {
            return Err(not_aligned(what));
        }
        // SAFETY: aligned, not NULL; the caller promises `count` items that stay during the call.
        Ok(unsafe { std::slice::from_raw_parts(items, count) })
    }

    /// A struct that must be given.
    pub fn one<T: Copy>(&self, item: *const T, what: &str) -> Answer<T> {
        if item.is_null() {
            return Err(is_null(what));
        }
        let items = self.array(item, 1, what)?;
        Ok(items[0])
    }

    /// Where an answer goes, which must be given.
    pub fn out<T>(&self, out: *mut T, what: &str) -> Answer<Out<T>> {
        self.optional_out(out, what)?.ok_or_else(|| is_null(what))
    }

    /// Where an answer goes, if it is wanted.
    pub fn optional_out<T>(&self, out: *mut T, what: &str) -> Answer<Option<Out<T>>> {
        match () {
            () if out.is_null() => Ok(None),
            () if !out.is_aligned() => Err(not_aligned(what)),
            () => Ok(Some(Out(out))),
        }
    }

    /// An array to fill.
    pub fn room<'c, T: Copy>(&'c self, out: *mut T, count: usize, what: &str) -> Answer<Room<'c, T>> {
        // The same checks; what lies there is not read, since it may never have been written.
        let items = self.array(out.cast_const().cast::<std::mem::MaybeUninit<T>>(), count, what)?;
        Ok(Room { out, count: items.len(), caller: std::marker::PhantomData })
    }

    /// Options; NULL stands for the defaults. A struct of another version's size is taken if it says nothing that this
    /// version does not know.
    pub fn options<T: Sized32>(&self, options: *const T) -> Answer<T> {
        let what = T::NAME;
        // SAFETY: zeros are a value of every such struct.
        let mut known: T = unsafe { std::mem::zeroed() };
        if options.is_null() {
            return Ok(known);
        }
        let size = self.one(options.cast::<u32>(), what)? as usize;
        check_size::<T>(size)?;
        let given = self.array(options.cast::<u8>(), size, what)?;
        let (given, more) = given.split_at(size.min(size_of::<T>()));
        if more.iter().any(|byte| *byte != 0) {
            let text =
                "sets a field that this version does not know; leave it out, or load the version it was made for";
            return Err(invalid(format!("{what} {text}, struct_size={size} known={}", size_of::<T>())));
        }
        // SAFETY: no more bytes than the struct has; every field may have any bytes, or zeros, as the trait promises.
        unsafe { std::ptr::copy_nonoverlapping(given.as_ptr(), (&raw mut known).cast(), given.len()) };
        Ok(known)
    }

    /// Where a struct goes that may grow: the caller's version of it is written, no byte more.
    pub fn sized_out<T: Sized32>(&self, out: *mut T) -> Answer<SizedOut<T>> {
        let what = T::NAME;
        self.out(out, what)?;
        let size = self.one(out.cast_const().cast::<u32>(), what)? as usize;
        check_size::<T>(size)?;
        Ok(SizedOut { out, size })
    }
}

/// A place for a struct of the caller's size.
pub struct SizedOut<T> {
    out: *mut T,
    size: usize,
}

impl<T: Sized32> SizedOut<T> {
    /// Writes it, but for its first field. What the caller's version has beyond this one stays as it is.
    pub fn set(self, value: T) {
        let from = size_of::<u32>();
        let count = self.size.min(size_of::<T>()) - from;
        // SAFETY: the caller promises `size` bytes; both counts hold the first field, and the two do not overlap.
        unsafe {
            let source = (&raw const value).cast::<u8>().add(from);
            std::ptr::copy_nonoverlapping(source, self.out.cast::<u8>().add(from), count);
        }
    }
}

/// An array of the caller's to fill.
pub struct Room<'c, T> {
    out: *mut T,
    pub count: usize,
    caller: std::marker::PhantomData<&'c Caller>,
}

impl<T: Copy> Room<'_, T> {
    /// Writes as many items as there is room for.
    pub fn fill(self, items: impl Iterator<Item = T>) {
        for (at, item) in items.take(self.count).enumerate() {
            // SAFETY: aligned, not NULL unless `count` is 0; the caller promises room for `count` items.
            unsafe { self.out.add(at).write(item) };
        }
    }
}

#[cold]
fn null_with_size(what: &str, size: usize) -> Fault {
    invalid(format!("{what} is NULL but its size is not 0; give both or none, size={size}"))
}

#[cold]
fn too_long(what: &str, size: usize) -> Fault {
    invalid(format!("{what} is larger than memory can be; check its size, size={size}"))
}

#[cold]
fn not_aligned(what: &str) -> Fault {
    invalid(format!("{what} does not lie where its type must; give a pointer to an object of its type"))
}

fn check_size<T: Sized32>(size: usize) -> Answer {
    // Fields begin and end at multiples of 4.
    if (T::SMALLEST..=SIZE_MAX).contains(&size) && size.is_multiple_of(size_of::<u32>()) {
        return Ok(());
    }
    let (what, known) = (T::NAME, size_of::<T>());
    Err(invalid(format!("set struct_size of {what} to its sizeof, struct_size={size} sizeof={known}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{oncelog_error_code, oncelog_error_free, oncelog_error_message};

    #[test]
    fn a_panic_ends_at_the_door_as_an_error_of_its_own_kind() {
        let error = call(|_| panic!("said {}", 1));
        assert_eq!(oncelog_error_code(error), ErrorKind::Panic as u32);
        // SAFETY: the text lives until the error is freed.
        let text = unsafe { CStr::from_ptr(oncelog_error_message(error)) }.to_str().unwrap();
        assert!(text.ends_with("panic=said 1"), "{text}");
        oncelog_error_free(error);

        let error = call(|_| std::panic::panic_any(7));
        assert_eq!(oncelog_error_code(error), ErrorKind::Panic as u32);
        oncelog_error_free(error);
    }
}
