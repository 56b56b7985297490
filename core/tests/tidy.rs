//! The house rules, checked: floors, sizes, notes at unsafe blocks, names of tests. Each rule reports all offenders at
//! once, as file:line.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::fmt::Write;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Floors from the bottom up. A file names lower floors or its own.
const FLOORS: [&[&str]; 9] = [
    &["error", "types", "limits"],
    &["format"],
    &["io"],
    &["journal"],
    &["state"],
    &["partition"],
    &["group"],
    &["engine"],
    &["api"],
];
const UNSAFE: [&str; 6] = [
    "core/src/io/clock.rs",
    "core/src/io/fork.rs",
    "core/src/io/map.rs",
    "core/src/io/unix.rs",
    "core/src/io/wake.rs",
    "core/src/io/windows.rs",
];
/// What a model puts its own in the place of, in `io/sync.rs`, and who may name it nevertheless: for statics, and where
/// no model goes.
const REPLACED: [&str; 5] = ["atomic", "thread", "Mutex", "RwLock", "Condvar"];
const REPLACES: [&str; 5] = [
    "core/src/io/branches.rs",
    "core/src/io/fork.rs",
    "core/src/io/sync.rs",
    "core/src/journal/hold.rs",
    "core/src/format/compression/mod.rs",
];
const WIDTH: usize = 120;
const FUNCTION_LINES: usize = 70;
const SOURCE_LINES: usize = 500;
const TEST_LINES: usize = 600;

/// A source file: as it is, and with comments and the content of strings blanked out.
struct Source {
    /// From the top of the repository.
    path: String,
    text: String,
    code: String,
}

impl Source {
    fn line_of(&self, byte: usize) -> usize {
        self.code[..byte].matches('\n').count() + 1
    }

    fn at(&self, byte: usize) -> String {
        format!("{}:{}", self.path, self.line_of(byte))
    }

    fn is_test(&self) -> bool {
        !self.path.starts_with("core/src/") || self.path.ends_with("/tests.rs") || self.path.contains("/tests/")
    }

    /// Byte positions of a word in the code.
    fn words<'a>(&'a self, word: &'a str) -> impl Iterator<Item = usize> + 'a {
        let part = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
        self.code.match_indices(word).map(|(at, _)| at).filter(move |at| {
            !part(self.code[..*at].chars().next_back()) && !part(self.code[at + word.len()..].chars().next())
        })
    }
}

fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn sources() -> Vec<Source> {
    let mut found = Vec::new();
    for folder in ["core/src", "core/tests", "core/examples", "benches"] {
        collect(&top().join(folder), &mut found);
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(found.len() > 50, "the sources were not found");
    found
}

fn collect(folder: &Path, found: &mut Vec<Source>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            let path = path.strip_prefix(top()).unwrap().to_str().unwrap().to_owned();
            let code = blanked(&text);
            found.push(Source { path, text, code });
        }
    }
}

/// The text with comments, strings and characters as blanks; lines and bytes stay where they are.
fn blanked(text: &str) -> String {
    let mut out = text.as_bytes().to_vec();
    for range in no_code(text) {
        for byte in &mut out[range] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
    }
    String::from_utf8(out).unwrap()
}

/// Where comments, strings and characters lie.
fn no_code(text: &str) -> Vec<Range<usize>> {
    let b = text.as_bytes();
    let (mut found, mut i) = (Vec::new(), 0);
    while i < b.len() {
        let rest = &b[i..];
        let name_before = i > 0 && (b[i - 1].is_ascii_alphanumeric() || b[i - 1] == b'_');
        let len = match rest[0] {
            b'/' if rest.starts_with(b"//") => text[i..].find('\n').unwrap_or(rest.len()),
            b'/' if rest.starts_with(b"/*") => text[i..].find("*/").map_or(rest.len(), |n| n + 2),
            b'"' => string(rest),
            b'r' if !name_before => raw_string(rest),
            b'\'' => character(rest),
            _ => 0,
        };
        found.push(i..i + len);
        i += len.max(1);
    }
    found
}

fn string(b: &[u8]) -> usize {
    let mut i = 1;
    while i < b.len() && b[i] != b'"' {
        i += if b[i] == b'\\' { 2 } else { 1 };
    }
    (i + 1).min(b.len())
}

fn raw_string(b: &[u8]) -> usize {
    let hashes = b[1..].iter().take_while(|c| **c == b'#').count();
    if b.get(1 + hashes) != Some(&b'"') {
        return 0;
    }
    let end = [&b"\""[..], &b"#".repeat(hashes)].concat();
    let body = &b[2 + hashes..];
    body.windows(end.len()).position(|w| w == end).map_or(b.len(), |n| 2 + hashes + n + end.len())
}

/// The length of a character literal; 0 for a lifetime.
fn character(b: &[u8]) -> usize {
    if b.get(1) == Some(&b'\\') {
        return b[2..].iter().skip(1).position(|c| *c == b'\'').map_or(0, |n| n + 4);
    }
    let len = std::str::from_utf8(&b[1..b.len().min(5)]).map_or_else(|e| e.valid_up_to(), str::len);
    let text = std::str::from_utf8(&b[1..1 + len]).unwrap_or_default();
    let width = text.chars().next().map_or(1, char::len_utf8);
    if b.get(1 + width) == Some(&b'\'') { width + 2 } else { 0 }
}

/// The byte behind the block that opens at or behind `from`; `None` if a semicolon comes first.
fn block_end(code: &str, from: usize) -> Option<usize> {
    let (mut depth, mut nested) = (0i32, 0i32);
    for (i, c) in code[from..].char_indices() {
        match c {
            '(' | '[' if depth == 0 => nested += 1,
            ')' | ']' if depth == 0 => nested -= 1,
            ';' if depth == 0 && nested == 0 => return None,
            '{' => depth += 1,
            '}' => {
                depth -= 1;
                if depth == 0 {
                    return Some(from + i + 1);
                }
            }
            _ => {}
        }
    }
    None
}

fn name_at(code: &str, from: usize) -> &str {
    let rest = &code[from..];
    let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
    &rest[..end]
}

fn report(rule: &str, offenders: &[String]) {
    let mut text = String::new();
    offenders.iter().for_each(|offender| {
        let _ = writeln!(text, "  {offender}");
    });
    assert!(offenders.is_empty(), "{rule}: {} offenders\n{text}", offenders.len());
}

fn floor_of(name: &str) -> Option<usize> {
    FLOORS.iter().position(|names| names.contains(&name))
}

/// First names behind a path prefix, groups in braces opened up.
fn first_names(code: &str, from: usize) -> Vec<&str> {
    if !code[from..].starts_with('{') {
        return vec![name_at(code, from)];
    }
    let end = block_end(code, from).unwrap_or(code.len());
    let (mut names, mut depth, mut begins) = (Vec::new(), 0, true);
    for (i, c) in code[from..end].char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 1 => begins = true,
            c if begins && depth == 1 && !c.is_whitespace() => {
                names.push(name_at(code, from + i));
                begins = false;
            }
            _ => {}
        }
    }
    names
}

/// Paths from the crate's root that a file names: byte and first name.
fn paths(source: &Source) -> Vec<(usize, &str)> {
    let code = &source.code;
    let mut found = Vec::new();
    for at in source.words("crate") {
        if code[at + 5..].starts_with("::") {
            found.extend(first_names(code, at + 7).into_iter().map(|name| (at, name)));
        }
    }
    // How many modules a file lies below the root, and inline modules around a place.
    let inner = source.path.strip_prefix("core/src/").unwrap_or_default();
    let depth = inner.matches('/').count() + usize::from(!inner.ends_with("mod.rs"));
    let inline: Vec<(usize, usize)> =
        source.words("mod").filter_map(|at| block_end(code, at).map(|end| (at, end))).collect();
    for at in source.words("super") {
        if code[..at].ends_with("super::") {
            continue;
        }
        let ups = (0..).take_while(|i| code[at + 7 * i..].starts_with("super::")).count();
        let below = depth + inline.iter().filter(|(from, end)| (from..end).contains(&&at)).count();
        if ups == below {
            found.extend(first_names(code, at + 7 * ups).into_iter().map(|name| (at, name)));
        }
    }
    found
}

#[test]
fn a_file_names_lower_floors_or_its_own() {
    let mut offenders = Vec::new();
    for source in sources() {
        let Some(inner) = source.path.strip_prefix("core/src/") else { continue };
        let folder = name_at(inner, 0);
        if folder == "lib" {
            continue;
        }
        let Some(floor) = floor_of(folder) else {
            offenders.push(format!("{}: no floor of that name", source.path));
            continue;
        };
        for (at, name) in paths(&source) {
            if floor_of(name).is_none_or(|other| other > floor) {
                offenders.push(format!("{} names {name}", source.at(at)));
            }
        }
    }
    report("a file names only lower floors or its own folder", &offenders);
}

#[test]
fn locks_atomics_and_threads_are_those_that_models_replace() {
    let mut offenders = Vec::new();
    for source in sources() {
        if source.is_test() || REPLACES.contains(&source.path.as_str()) {
            continue;
        }
        let tests = source.text.find("\nmod tests {").unwrap_or(source.code.len());
        for at in source.words("std").filter(|at| *at < tests && source.code[*at..].starts_with("std::")) {
            let path = &source.code[at + 5..];
            let from = if path.starts_with("sync::") { at + 11 } else { at + 5 };
            let names = first_names(&source.code, from);
            offenders.extend(names.iter().filter(|name| REPLACED.contains(name)).map(|_| source.at(at)));
        }
    }
    report("locks, atomics and threads come from io/sync.rs", &offenders);
}

#[test]
fn files_are_small_enough_to_be_read() {
    let mut offenders = Vec::new();
    for source in sources() {
        let most = if source.is_test() { TEST_LINES } else { SOURCE_LINES };
        // Unit tests at the end of a file count as tests.
        let all = source.text.lines().count();
        let lines = source.text.find("\n#[cfg(test)]\nmod tests {").map_or(all, |at| source.text[..at].lines().count());
        if lines > most || all > TEST_LINES {
            offenders.push(format!("{}:{most} has {all} lines, {lines} of them before its tests", source.path));
        }
    }
    report("files are at most 500 lines, tests 600", &offenders);
}

#[test]
fn functions_are_small_enough_to_be_seen() {
    let mut offenders = Vec::new();
    for source in sources() {
        for at in source.words("fn") {
            let name = name_at(&source.code, at + 3);
            let Some(end) = block_end(&source.code, at).filter(|_| !name.is_empty()) else { continue };
            let lines = source.code[at..end].matches('\n').count() + 1;
            if lines > FUNCTION_LINES {
                offenders.push(format!("{} {name} has {lines} lines", source.at(at)));
            }
        }
    }
    report("functions are at most 70 lines", &offenders);
}

#[test]
fn lines_are_at_most_120_wide() {
    let mut offenders = Vec::new();
    for source in sources() {
        for (i, line) in source.text.lines().enumerate() {
            let width = line.chars().count();
            if width > WIDTH {
                offenders.push(format!("{}:{} is {width} wide", source.path, i + 1));
            }
        }
    }
    report("lines are at most 120 wide", &offenders);
}

#[test]
fn unsafe_lies_in_six_files_and_every_block_says_why_it_is_sound() {
    let mut offenders = Vec::new();
    for source in sources() {
        let lines: Vec<&str> = source.text.lines().collect();
        for at in source.words("unsafe") {
            let line = source.line_of(at) - 1;
            // The note stands above the statement that holds the block.
            let above = lines[..=line].iter().rev().take(12);
            let noted = above.take_while(|l| !l.trim().is_empty()).any(|l| l.contains("SAFETY:"));
            if source.path.starts_with("core/src/") && !UNSAFE.contains(&source.path.as_str()) {
                offenders.push(format!("{} is not one of the six files", source.at(at)));
            } else if !noted {
                offenders.push(format!("{} has no SAFETY note", source.at(at)));
            }
        }
    }
    report("unsafe lies in io/{clock,fork,map,unix,wake,windows}.rs only, each block with its note", &offenders);
}

#[test]
fn nothing_is_left_for_later() {
    // Put together here, so that this file does not hold them.
    let words = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("todo", "!("), concat!("unimplemented", "!(")];
    let mut offenders = Vec::new();
    for source in sources() {
        for (i, line) in source.text.lines().enumerate() {
            if words.iter().any(|w| line.contains(w)) || line.trim_start().starts_with(concat!("#[", "ignore")) {
                offenders.push(format!("{}:{} {}", source.path, i + 1, line.trim()));
            }
        }
    }
    report("no placeholder and no test that does not run", &offenders);
}

/// What an error says is read by callers of every language.
#[test]
fn messages_have_words_that_every_language_has() {
    let own = ["core/src/journal/ticket.rs", "core/src/types/openmetrics.rs", "core/src/io/sim/log.rs"];
    let mut offenders = Vec::new();
    for source in sources().iter().filter(|s| !s.is_test() && !own.contains(&s.path.as_str())) {
        let tests = source.text.find("#[cfg(test)]\nmod ").unwrap_or(source.text.len());
        for range in no_code(&source.text[..tests]) {
            if has_words_of_rust(&source.text[range.clone()]) {
                offenders.push(source.at(range.start));
            }
        }
    }
    report("no message names a call or a type as Rust alone does", &offenders);
}

/// True for a string of several words with one such as `Record::position`, `topics()` or `send_offsets`.
fn has_words_of_rust(string: &str) -> bool {
    let is_name = |word: &str| {
        // Not Kafka's own, nor what stands before a value.
        let isolation = ["read_committed", "read_uncommitted"].iter().any(|isolation| word.contains(isolation));
        word.trim_matches(|c: char| !c.is_alphanumeric()).contains('_') && !word.contains(['=', '{']) && !isolation
    };
    let whole = ["::", "()", "`"].iter().any(|mark| string.contains(mark)) || string.split_whitespace().any(is_name);
    string.starts_with('"') && string.contains(' ') && whole
}

#[test]
fn modules_are_named_for_what_they_hold() {
    const BANNED: [&str; 6] = ["util", "utils", "common", "helper", "helpers", "misc"];
    let mut offenders = Vec::new();
    for source in sources() {
        let path = source.path.trim_end_matches(".rs");
        if path.split('/').any(|part| BANNED.contains(&part)) {
            offenders.push(format!("{}:1", source.path));
        }
        for at in source.words("mod") {
            if BANNED.contains(&name_at(&source.code, at + 4)) {
                offenders.push(source.at(at));
            }
        }
    }
    report("no module is called util, common or helpers", &offenders);
}

#[test]
fn tests_are_named_as_sentences() {
    let mut offenders = Vec::new();
    for source in sources() {
        for (attribute, _) in source.code.match_indices("#[test]") {
            let Some(at) = source.words("fn").find(|at| *at > attribute) else { continue };
            let name = name_at(&source.code, at + 3);
            if name.split('_').filter(|word| !word.is_empty()).count() < 3 {
                offenders.push(format!("{} {name}", source.at(at)));
            }
        }
    }
    report("the name of a test has at least three words", &offenders);
}

#[test]
fn the_top_of_the_house_holds_nothing_unexpected() {
    const KNOWN: &str = "\
        .ci .git .gitattributes .github .gitignore Cargo.lock Cargo.toml LICENSE-APACHE LICENSE-MIT Makefile README.md \
        benches bindings clippy.toml core ffi include rust-toolchain.toml rustfmt.toml target";
    let known: Vec<&str> = KNOWN.split_whitespace().collect();
    let names = std::fs::read_dir(top()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
    let offenders: Vec<String> = names.filter(|name| !known.contains(&name.as_str())).collect();
    report("the top folder holds the house and what tools demand", &offenders);
}

#[test]
fn the_checks_see_what_they_look_for() {
    let text = "// unsafe\nlet a = \"fn { crate::api \\\" \"; let b = '{'; let c: &'static str = r#\"}\"#; b'x'\n";
    let code = blanked(text);
    assert_eq!(code.len(), text.len());
    for word in ["unsafe", "crate", "{", "}", "x"] {
        assert!(!code.contains(word), "{word} is left in {code:?}");
    }
    assert!(code.contains("static"), "a lifetime is no character");
    let said = ["\"set Record::key\"", "\"see topics()\"", "\"use send_offsets, x=1\"", "\"read it, next_lsn={}\""];
    assert_eq!(said.map(has_words_of_rust), [true, true, true, false]);
    let path = "core/src/io/sim/a.rs".to_owned();
    let text = "use crate::{error::Error, api::{A, B}}; fn f() { super::super::super::engine::g() } \
                mod t { use super::super::super::super::state; use super::super::io; }";
    let source = Source { path, text: text.to_owned(), code: blanked(text) };
    let names: Vec<&str> = paths(&source).into_iter().map(|(_, name)| name).collect();
    assert_eq!(names, ["error", "api", "engine", "state"]);
}

/// The first block of Rust code in a text, without the lines that documentation hides.
fn example(text: &str, fence: &str) -> String {
    let (_, rest) = text.split_once(fence).unwrap();
    let (code, _) = rest.split_once("```").unwrap();
    code.lines().filter(|line| !line.starts_with("# ")).map(str::trim_end).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_readme_shows_the_example_that_the_library_runs() {
    let readme = std::fs::read_to_string(top().join("README.md")).unwrap();
    let library = std::fs::read_to_string(top().join("core/src/lib.rs")).unwrap();
    let docs: Vec<&str> = library.lines().filter_map(|l| l.strip_prefix("//!")).collect();
    let docs: Vec<&str> = docs.into_iter().map(|l| l.strip_prefix(' ').unwrap_or(l)).collect();
    assert_eq!(example(&readme, "```rust\n").trim(), example(&docs.join("\n"), "```\n").trim());
}
