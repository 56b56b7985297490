//! One file for each engine, with the setting that is best for this work and fair.

mod bare;
mod bare_batches;
mod bare_map;
pub mod chronicle;
mod commitlog;
mod fjall;
mod lmdb;
mod okaywal;
mod oncelog;
mod redb;
#[cfg(feature = "rocksdb")]
mod rocksdb;
mod sqlite;
pub mod walrus;

use crate::store::Engine;

/// All engines, in the order of the tables.
pub const ENGINES: &[Engine] = &[
    oncelog::ENGINE,
    bare::ENGINE,
    bare_batches::ENGINE,
    bare_map::ENGINE,
    sqlite::ENGINE,
    lmdb::ENGINE,
    lmdb::WRITABLE_MAP,
    redb::ENGINE,
    fjall::ENGINE,
    #[cfg(feature = "rocksdb")]
    rocksdb::ENGINE,
    #[cfg(not(feature = "rocksdb"))]
    WITHOUT_ROCKSDB,
    commitlog::ENGINE,
    okaywal::ENGINE,
    walrus::ENGINE,
    chronicle::ENGINE,
];

/// The row of RocksDB where it was not compiled.
#[cfg(not(feature = "rocksdb"))]
const WITHOUT_ROCKSDB: Engine = Engine {
    name: "RocksDB",
    package: "rocksdb",
    open: |_, _| Err("left out of this build".into()),
    lacks: |_| Some("left out of this build"),
    differs: |_| None,
    settings: "left out of this build",
};

/// The engine whose tables these are.
pub const OURS: &str = oncelog::ENGINE.name;
/// What the machine can do at all.
pub const LIMIT: &str = bare::ENGINE.name;
/// What it can do with the batches that ours writes, without the engine.
pub const OUR_BATCHES: &str = bare_batches::ENGINE.name;
/// All rows that are no engine's.
pub const LIMITS: [&str; 3] = [LIMIT, OUR_BATCHES, bare_map::ENGINE.name];

/// An engine by its name.
pub fn engine(name: &str) -> Option<&'static Engine> {
    ENGINES.iter().find(|engine| engine.name == name)
}
