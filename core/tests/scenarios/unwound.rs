//! A write that ends in a panic of whoever keeps the files.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use oncelog::sim::World;
use oncelog::{Durability, Engine, ErrorKind, TopicOptions};

use crate::watched::{Watch, watched};
use crate::{append, one, open, values};

/// Its next write panics, once.
#[derive(Default)]
struct Panics(AtomicBool);

impl Watch for Panics {
    fn writes(&self) {
        assert!(!self.0.swap(false, Ordering::SeqCst), "the file's keeper gives up");
    }
}

#[test]
fn nothing_is_acknowledged_behind_a_write_that_ended_in_a_panic() {
    for level in [Durability::Os, Durability::Disk] {
        let world = World::new(1);
        let panics = Arc::new(Panics::default());
        let machine = watched(world.machine(), panics.clone());
        let engine = Engine::options().threads(false).segment_bytes(64 << 10).open_on(machine).unwrap();
        engine.create_topic("t", TopicOptions::new()).unwrap();
        append(&engine, &one(b"acknowledged"), level).unwrap();
        panics.0.store(true, Ordering::SeqCst);
        catch_unwind(AssertUnwindSafe(|| append(&engine, &one(b"in the middle"), level))).unwrap_err();
        let behind = append(&engine, &one(b"behind"), level).unwrap_err();
        assert_eq!(behind.kind(), ErrorKind::Indeterminate, "{behind}");
        let later = append(&engine, &one(b"later"), level).unwrap_err();
        assert_eq!(later.kind(), ErrorKind::Poisoned, "{later}");
        world.kill();
        drop(engine);
        assert_eq!(values(&open(&world)), ["acknowledged"], "level {level:?}");
    }
}
