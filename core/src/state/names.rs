//! What a topic, a group and a producer may be called.

use crate::error::{Error, ErrorKind, Result};
use crate::limits::{NAME_MAX, TOPIC_NAME_MAX};

/// Kafka's rule for topics: 1..=249 of `[a-zA-Z0-9._-]`, but not "." and "..".
pub fn check_topic_name(name: &str) -> Result<()> {
    let good = (1..=TOPIC_NAME_MAX).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
        && name != "."
        && name != "..";
    if good { Ok(()) } else { Err(bad_topic_name(name)) }
}

#[cold]
fn bad_topic_name(name: &str) -> Error {
    let why = match name {
        "" => "a topic name is empty".to_owned(),
        "." | ".." => "a topic cannot be called \".\" or \"..\"".to_owned(),
        _ if name.len() > TOPIC_NAME_MAX => format!("a topic name is longer than {TOPIC_NAME_MAX} characters"),
        _ => "a topic name has a character that is not allowed".to_owned(),
    };
    let allowed = format!("use 1 to {TOPIC_NAME_MAX} of a-z, A-Z, 0-9, '.', '_' and '-'");
    Error::new(ErrorKind::InvalidArgument, format!("{why}; {allowed}, name={}", shown(name)))
}

/// The rule for groups, producers and transactional ids: 1..=1024 bytes of any text without control characters.
/// `what` says which of them, for the message.
pub fn check_name(what: &str, name: &str) -> Result<()> {
    let good = (1..=NAME_MAX).contains(&name.len()) && !name.chars().any(char::is_control);
    if good { Ok(()) } else { Err(bad_name(what, name)) }
}

#[cold]
fn bad_name(what: &str, name: &str) -> Error {
    let why = match name.len() {
        0 => "is empty",
        n if n > NAME_MAX => "is too long",
        _ => "has a control character",
    };
    let allowed = format!("use 1 to {NAME_MAX} bytes of text without control characters");
    Error::new(ErrorKind::InvalidArgument, format!("the name of a {what} {why}; {allowed}, name={}", shown(name)))
}

/// A name that a caller gave, as a message may hold it: in quotes, escaped, and cut where no name is as long.
pub fn shown(name: &str) -> String {
    let mut shown = String::from("\"");
    shown.extend(name.chars().take(TOPIC_NAME_MAX).flat_map(char::escape_debug));
    shown.push_str(if name.chars().nth(TOPIC_NAME_MAX).is_some() { "\"..." } else { "\"" });
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topic_names_are_kafkas() {
        for good in ["a", "...", "a.b_c-D9", &"x".repeat(249)] {
            assert!(check_topic_name(good).is_ok(), "{good}");
        }
        for bad in ["", ".", "..", "a b", "a/b", "a\0", "ä", "a,b", &"x".repeat(250)] {
            let error = check_topic_name(bad).expect_err(bad);
            assert_eq!(error.kind(), ErrorKind::InvalidArgument);
            assert!(error.message().contains("a-z, A-Z, 0-9, '.', '_' and '-'"), "{error}");
            assert!(!error.message().contains('\0') && error.message().len() < 450, "{error}");
        }
    }

    #[test]
    fn a_name_in_a_message_is_cut_where_no_name_is_as_long() {
        assert_eq!(shown("a\"b\n"), r#""a\"b\n""#);
        let longest = "x".repeat(TOPIC_NAME_MAX);
        assert_eq!(shown(&longest), format!("\"{longest}\""));
        assert_eq!(shown(&"ä".repeat(1 << 20)), format!("\"{}\"...", "ä".repeat(TOPIC_NAME_MAX)));
    }

    #[test]
    fn other_names_are_any_text_without_control_characters() {
        for good in ["a", " ", "größe 1/2", "日本", &"x".repeat(NAME_MAX)] {
            assert!(check_name("group", good).is_ok(), "{good}");
        }
        for bad in ["", "a\nb", "\u{7f}", "\u{85}", &"x".repeat(NAME_MAX + 1)] {
            assert_eq!(check_name("group", bad).expect_err(bad).kind(), ErrorKind::InvalidArgument);
        }
    }
}
