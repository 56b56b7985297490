//! How many files an opening has open at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use oncelog::{Durability, Engine};

use crate::watched::{Watch, watched};
use crate::{append, begin, one};

/// Counts what is open.
#[derive(Default)]
struct Count {
    now: AtomicUsize,
    most: AtomicUsize,
}

impl Watch for Count {
    fn opened(&self) {
        let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
    }
    fn closed(&self) {
        self.now.fetch_sub(1, Ordering::SeqCst);
    }
}

#[test]
fn an_opening_has_few_files_open_however_many_segments_lie_behind_the_checkpoint() {
    const RECORDS: u64 = 600;
    for writable in [true, false] {
        let (world, engine) = begin(1);
        (0..RECORDS).for_each(|_| _ = append(&engine, &one(&[b'x'; 6_000]), Durability::Os).unwrap());
        assert_eq!(engine.metrics().checkpoints, 0);
        world.kill();
        drop(engine);
        assert!(world.files().len() > 60, "{} files", world.files().len());
        let count = Arc::new(Count::default());
        let machine = if writable { world.machine() } else { world.machine_for_reading() };
        let options = Engine::options().threads(false).segment_bytes(64 << 10).read_only(!writable);
        let engine = options.open_on(watched(machine, count.clone())).unwrap();
        assert!(engine.partition("t", 0).unwrap().bounds().end > RECORDS / 2);
        let most = count.most.load(Ordering::SeqCst);
        assert!(most < 32, "{most} files were open at once, writable: {writable}");
    }
}
