//! Options given as words.

use oncelog::{Durability, Isolation, Start};
use pyo3::prelude::*;

use crate::errors::refused;

/// The words of an option, each with what it means.
fn choose<T: Copy>(option: &str, word: &str, words: &[(&str, T)]) -> PyResult<T> {
    match words.iter().find(|(name, _)| *name == word) {
        Some((_, value)) => Ok(*value),
        None => {
            let known: Vec<String> = words.iter().map(|(name, _)| format!("'{name}'")).collect();
            Err(refused(format!("unknown {option}; say {}, {option}={word:.40}", known.join(" or "))))
        }
    }
}

const DURABILITY: [(&str, Durability); 3] =
    [("memory", Durability::Memory), ("os", Durability::Os), ("disk", Durability::Disk)];

pub fn durability(word: &str) -> PyResult<Durability> {
    choose("durability", word, &DURABILITY)
}

/// The level of a handle; without a word that of the floor below.
pub fn own_durability(word: Option<&str>) -> PyResult<Option<Durability>> {
    word.map(durability).transpose()
}

/// The word for a level; `None` for one that this version has no word for.
pub fn durability_word(level: Durability) -> Option<&'static str> {
    DURABILITY.iter().find(|(_, value)| *value == level).map(|(name, _)| *name)
}

pub fn isolation(word: &str) -> PyResult<Isolation> {
    let words = [("read_committed", Isolation::ReadCommitted), ("read_uncommitted", Isolation::ReadUncommitted)];
    choose("isolation", word, &words)
}

pub fn start(word: &str) -> PyResult<Start> {
    choose("start", word, &[("earliest", Start::Earliest), ("latest", Start::Latest), ("none", Start::None)])
}
