//! `include/oncelog.h` is made from the crate. With `ONCELOG_WRITE_HEADER=1` this writes it; else it compares.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::path::Path;

/// Functions before which a part of the header begins, and its title.
const PARTS: [(&str, &str); 14] = [
    ("oncelog_version_number", "Version"),
    ("oncelog_error_code", "Errors"),
    ("oncelog_open", "The engine: where everything begins"),
    ("oncelog_metrics", "Metrics: what is counted"),
    ("oncelog_partition_open", "Partitions: the log itself"),
    ("oncelog_records_next", "Records that were read"),
    ("oncelog_producer_open", "Producers"),
    ("oncelog_ticket_wait", "Tickets: answers on their way"),
    ("oncelog_transactional_producer_open", "Transactional producers"),
    ("oncelog_transaction_send", "Transactions"),
    ("oncelog_init_producer", "Raw identities and transactions: for brokers"),
    ("oncelog_consumer_open", "Consumers"),
    ("oncelog_completions_open", "Completions: for event loops"),
    ("oncelog_set_logger", "Hooks"),
];

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
