//! What an engine tells its log.

use std::sync::{Arc, Mutex};

use oncelog::{Engine, ErrorKind, Log, LogLevel, ProducerOptions, Record, TopicOptions};

/// Keeps what it is told.
#[derive(Default)]
pub struct Kept(Mutex<Vec<(LogLevel, String)>>);

impl Log for Kept {
    fn log(&self, level: LogLevel, message: &str) {
        self.0.lock().unwrap().push((level, message.to_owned()));
    }
}

impl Kept {
    /// Takes what was told since, which must have these levels and beginnings.
    pub fn expect(&self, expected: &[(LogLevel, &str)]) {
        let found = std::mem::take(&mut *self.0.lock().unwrap());
        let fits = found.iter().zip(expected).all(|(a, b)| a.0 == b.0 && a.1.starts_with(b.1) && !a.1.contains('\n'));
        assert!(fits && found.len() == expected.len(), "{found:?} instead of {expected:?}");
        assert!(found.iter().all(|(_, message)| message.contains('=')), "{found:?} must name their variables");
    }
}

#[test]
fn a_life_without_trouble_is_told_in_two_lines() {
    let dir = tempfile::tempdir().unwrap();
    let log = Arc::new(Kept::default());
    let engine = Engine::options().log(log.clone()).open(dir.path()).unwrap();
    log.expect(&[(LogLevel::Info, "opened the log, incarnation=1 created=true ")]);
    engine.create_topic("t", TopicOptions::new()).unwrap();
    engine.producer(ProducerOptions::new()).unwrap().send("t", Record::new(b"x")).unwrap().wait().unwrap();
    engine.create_topic("t", TopicOptions::new()).unwrap_err();
    engine.close().unwrap();
    engine.close().unwrap();
    log.expect(&[(LogLevel::Debug, "closed the log, incarnation=1")]);
    assert!(format!("{:?}", Engine::options().log(log)).contains("log: Some"));
}

#[test]
fn a_fenced_holder_is_told_of() {
    let dir = tempfile::tempdir().unwrap();
    let log = Arc::new(Kept::default());
    let engine = Engine::options().log(log.clone()).open(dir.path()).unwrap();
    let old = engine.transactional_producer("tp", ProducerOptions::new()).unwrap();
    let _new = engine.transactional_producer("tp", ProducerOptions::new()).unwrap();
    assert_eq!(old.begin_transaction().err().unwrap().kind(), ErrorKind::ProducerFenced);
    engine.close().unwrap();
    log.expect(&[
        (LogLevel::Info, "opened the log"),
        (LogLevel::Debug, "a name was opened again, whoever held it is fenced, name=tp "),
        (LogLevel::Warn, "a newer"),
        (LogLevel::Debug, "closed the log"),
    ]);
}

#[test]
fn a_log_that_panics_harms_nothing() {
    struct Panics;
    impl Log for Panics {
        fn log(&self, _: LogLevel, _: &str) {
            std::panic::panic_any("of the caller's own");
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::options().log(Arc::new(Panics)).open(dir.path()).unwrap();
    engine.create_topic("t", TopicOptions::new()).unwrap();
    engine.close().unwrap();
}
