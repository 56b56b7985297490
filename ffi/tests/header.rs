//! `include/oncelog.h` is made from the crate. With `ONCELOG_WRITE_HEADER=1` this writes it; else it compares.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::path::Path;

use engine::limits;

/// Functions before which a part of the header begins, and its title.
const PARTS: [(&str, &str); 15] = [
    ("oncelog_version_number", "Version"),
    ("oncelog_error_code", "Errors"),
    ("oncelog_open", "The engine: where everything begins"),
    ("oncelog_metrics", "Metrics: what is counted"),
    ("oncelog_partition_open", "Partitions: the log itself"),
    ("oncelog_records_next", "Records that were read"),
    ("oncelog_batch_header", "Batches as Kafka's clients encode them"),
    ("oncelog_producer_open", "Producers"),
    ("oncelog_ticket_wait", "Tickets: answers on their way"),
    ("oncelog_transactional_producer_open", "Transactional producers"),
    ("oncelog_transaction_send", "Transactions"),
    ("oncelog_init_producer", "Raw identities and transactions: for brokers"),
    ("oncelog_consumer_open", "Consumers"),
    ("oncelog_completions_open", "Completions: for event loops"),
    ("oncelog_set_logger", "Hooks"),
];

/// The engine's limits that a caller meets: their names there, and what they are; times in milliseconds.
fn limits() -> Vec<(&'static str, String)> {
    macro_rules! numbers {
        ($($name:ident)*) => { vec![$((stringify!($name), limits::$name.to_string())),*] };
    }
    let mut all = numbers! {
        TOPIC_NAME_MAX NAME_MAX OFFSET_METADATA_MAX TOPIC_PARTITIONS_MAX PARTITIONS_MAX OFFSET_MAX BATCH_MAX
        UNPACKED_MAX FRAME_MAX PRODUCER_MEMORY TRANSACTION_BUFFER TRANSACTION_BUFFER_MAX TRANSACTION_MEMORY
        TRANSACTION_PARTITIONS TRANSACTION_OFFSETS OPEN_TRANSACTIONS SEGMENT_MIN SEGMENT_DEFAULT SEGMENT_OPTION_MAX
    };
    all.push(("TRANSACTION_TIMEOUT", limits::TRANSACTION_TIMEOUT.as_millis().to_string()));
    all.push(("TRANSACTION_TIMEOUT_MAX", limits::TRANSACTION_TIMEOUT_MAX.as_millis().to_string()));
    all
}

/// A limit's name in the header.
fn macro_of(name: &str) -> String {
    let unit = if name.contains("TIMEOUT") { "_MS" } else { "" };
    format!("ONCELOG_{name}{unit}")
}

/// The limits as the header has them, each with what the engine's table says of it.
fn told_limits() -> Vec<String> {
    let table = Path::new(env!("CARGO_MANIFEST_DIR")).join("../core/src/limits.rs");
    let table = std::fs::read_to_string(table).unwrap();
    let above = "/* Limits: a value past one answers LIMIT_EXCEEDED, RECORD_TOO_LARGE or INVALID_ARGUMENT. */";
    let mut told = vec![String::new(), above.to_owned()];
    for (name, value) in limits() {
        let (before, _) = table.split_once(&format!("pub const {name}:")).unwrap();
        let mut words: Vec<_> = before.lines().rev().map_while(|line| line.strip_prefix("/// ")).collect();
        words.reverse();
        told.push(String::new());
        match words[..] {
            [text] if text.len() < 115 => told.push(format!("/* {text} */")),
            _ => {
                told.push("/*".to_owned());
                told.extend(words.iter().map(|line| format!(" * {line}")));
                told.push(" */".to_owned());
            }
        }
        told.push(format!("#define {} {value}", macro_of(name)));
    }
    told
}

/// Comments of one line on one line, stars before the others, and a title before each part.
fn arrange(made: &str) -> String {
    let mut lines: Vec<String> = Vec::new();
    let mut comment: Option<usize> = None;
    let mut preface = true;
    for line in made.lines() {
        let indent = &line[..line.len() - line.trim_start().len()];
        match line.trim() {
            "*/" if preface => preface = false,
            _ if preface => {}
            "/*" => comment = Some(lines.len()),
            "*/" => {
                let start = comment.take().unwrap();
                if lines.len() == start + 2 {
                    let text = lines.remove(start + 1);
                    let open = lines[start].trim_end_matches("/*").to_owned();
                    lines[start] = format!("{open}/* {} */", text.trim_start().trim_start_matches("* "));
                    continue;
                }
            }
            text if comment.is_some() => {
                let margin = if indent.is_empty() { " " } else { indent };
                lines.push(format!("{margin}* {text}").trim_end().to_owned());
                continue;
            }
            _ => {}
        }
        if let Some((_, title)) =
            PARTS.iter().find(|(name, _)| line.contains(&format!(" {name}(")) || line.contains(&format!("*{name}(")))
        {
            let at = lines.iter().rposition(|line| line.is_empty()).unwrap();
            let rule = "-".repeat(100 - title.len());
            lines.splice(at..=at, [String::new(), format!("/* ---- {title} {rule} */"), String::new()]);
        }
        lines.push(line.to_owned());
        // A text is what cbindgen makes no constant of.
        if line.starts_with("#define ONCELOG_VERSION_NUMBER") {
            let version = format!("#define ONCELOG_VERSION_STRING \"{}\"", env!("CARGO_PKG_VERSION"));
            lines.extend([String::new(), "/* The same as text. */".to_owned(), version]);
        }
        // Nor of what another crate says.
        if line.starts_with("#define ONCELOG_LOG_DEBUG") {
            lines.extend(told_limits());
        }
    }
    lines.push(String::new());
    lines.join("\n")
}

#[test]
fn the_committed_header_is_what_the_crate_says() {
    let crate_dir = Path::new(env!("CARGO_MANIFEST_DIR"));
    let committed = crate_dir.join("../include/oncelog.h");
    let mut config = cbindgen::Config::from_file(crate_dir.join("cbindgen.toml")).unwrap();
    config.header = Some(std::fs::read_to_string(crate_dir.join("preface.h")).unwrap());
    let mut made = Vec::new();
    cbindgen::generate_with_config(crate_dir, config).unwrap().write(&mut made);
    let made = arrange(&String::from_utf8(made).unwrap());

    if std::env::var_os("ONCELOG_WRITE_HEADER").is_some() {
        std::fs::write(&committed, &made).unwrap();
    }
    let found = std::fs::read_to_string(&committed).unwrap_or_default();
    let differs = made.lines().zip(found.lines()).position(|(made, found)| made != found);
    assert!(
        made == found,
        "include/oncelog.h is not what the crate says, first at line {}; write it with ONCELOG_WRITE_HEADER=1 cargo \
         test -p oncelog-ffi --test header",
        differs.map_or("the end".to_owned(), |line| (line + 1).to_string())
    );
}

#[test]
fn the_header_of_cpp_has_every_limit_by_its_own_name() {
    let header = Path::new(env!("CARGO_MANIFEST_DIR")).join("../include/oncelog/limits.hpp");
    let header = std::fs::read_to_string(header).unwrap();
    let mut found = 0;
    for (name, _) in limits() {
        let (own, of) = (name.to_lowercase(), macro_of(name));
        let is_said = |end: &str| header.contains(&format!(" {own}{end}"));
        assert!(is_said(&format!(" = {of};")) || is_said(&format!("{{{of}}};")), "limits.hpp has no {own} for {of}");
        found += 1;
    }
    assert_eq!(header.matches("inline constexpr").count(), found, "limits.hpp has what is no limit");
}
