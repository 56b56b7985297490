//! Reads the cases: `data/kafka-answers.jsonl.gz`, one a line.

use std::io::Read;

use serde_json::Value;

/// One history: what was asked of Kafka, and what it answered.
pub struct Case {
    pub id: u64,
    pub group: String,
    pub name: String,
    pub steps: Vec<Value>,
}

/// All of them, in the order of the file.
pub fn all() -> Vec<Case> {
    let packed = include_bytes!("../../data/kafka-answers.jsonl.gz");
    let mut text = String::new();
    flate2::read::GzDecoder::new(&packed[..]).read_to_string(&mut text).unwrap();
    text.lines().map(read).collect()
}

fn read(line: &str) -> Case {
    let mut value: Value = serde_json::from_str(line).unwrap();
    let word = |name: &str| value[name].as_str().unwrap().to_owned();
    Case {
        id: value["id"].as_u64().unwrap(),
        group: word("group"),
        name: word("name"),
        steps: match value["steps"].take() {
            Value::Array(steps) => steps,
            other => panic!("steps are a list, found {other}"),
        },
    }
}

/// What a step does.
pub fn op(step: &Value) -> &str {
    step["op"].as_str().unwrap()
}

/// A text of a step's arguments, empty if it has none of that name.
pub fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}

/// A number of a step's arguments or answers, -1 if it has none of that name.
pub fn number(value: &Value, name: &str) -> i64 {
    value[name].as_i64().unwrap_or(-1)
}

/// The bytes behind hexadecimal digits.
pub fn bytes(hex: &str) -> Vec<u8> {
    let digit = |c: u8| (c as char).to_digit(16).unwrap() as u8;
    hex.as_bytes().chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}
