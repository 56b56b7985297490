//! Structs of the header together with the texts they point to.
#![allow(unsafe_code)]

use std::ffi::{CString, c_char};

use crate::error;

/// Structs that point into texts kept beside them. Neither changes once it is made.
pub struct Kept<T> {
    items: Vec<T>,
    _texts: Vec<CString>,
}

// SAFETY: the items' pointers lead into `_texts`, or into another list that their owner keeps beside this one: nobody
// changes those, and they live as long as the items.
unsafe impl<T> Send for Kept<T> {}
// SAFETY: as above; shared, both are only read.
unsafe impl<T> Sync for Kept<T> {}

impl<T> Kept<T> {
    /// Makes one item of each source; `make` gets a function that keeps a text.
    pub fn new<S>(sources: &[S], make: impl Fn(&S, &mut dyn FnMut(&str) -> *const c_char) -> T) -> Self {
        let mut texts = Vec::new();
        let mut keep = |text: &str| {
            // The buffer of a text stays where it is when the list grows.
            texts.push(error::text(text));
            texts.last().map_or(std::ptr::null(), |text: &CString| text.as_ptr())
        };
        let items = sources.iter().map(|source| make(source, &mut keep)).collect();
        Self { items, _texts: texts }
    }

    /// The items.
    pub fn items(&self) -> &[T] {
        &self.items
    }
}
