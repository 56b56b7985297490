//! Crash states: what a workload did to the disk, call by call, and every disk that a power cut could have left.
//!
//! A `Tape` plays a workload on a simulated machine and notes, for each operation, after how many calls of the disk it
//! began and after how many it was acknowledged, and at which level. `cuts` lists what a power cut after a given number
//! of calls can have done to everything unsynced. `examine` opens what it left: the log must hold the operations up to
//! one of them and nothing else, and that one must not lie before the last that was acknowledged. So records, offsets,
//! positions, epochs and topics are compared whole, with a model that is a handful of maps.
#![allow(dead_code)]

pub mod cuts;
pub mod examine;
pub mod kept;
pub mod lives;
pub mod observe;
pub mod sweep;
pub mod tape;
pub mod tape_raw;
pub mod workloads;
pub mod workloads_failing;
pub mod workloads_kept;
pub mod workloads_names;
pub mod world;

/// What a check answers: an error says in words what is wrong.
pub type Check = Result<(), String>;
