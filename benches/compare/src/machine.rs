//! The machine that was measured, and what its device takes for a flush.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::store::Result;

/// Facts about the machine, as far as it tells them.
pub struct Machine {
    /// Cores that this process may use.
    pub cores: usize,
    /// The processor's name.
    pub processor: String,
    /// Memory in GiB.
    pub memory: u64,
    /// The kernel's name and version.
    pub kernel: String,
    /// File system of the measured directory, and its device.
    pub file_system: String,
    /// The day.
    pub date: String,
    /// The compiler.
    pub compiler: String,
}

impl Machine {
    /// Asks.
    pub fn look(dir: &Path) -> Machine {
        let field = |file: &str, name: &str| {
            let text = std::fs::read_to_string(file).unwrap_or_default();
            let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
            line.split_once(':').map_or(String::new(), |(_, value)| value.trim().to_owned())
        };
        let memory =
            field("/proc/meminfo", "MemTotal").split_whitespace().next().and_then(|kib| kib.parse::<u64>().ok());
        Machine {
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            processor: field("/proc/cpuinfo", "model name"),
            memory: memory.unwrap_or_default() >> 20,
            kernel: answer("uname", &["-sr"]),
            file_system: file_system(dir),
            date: answer("date", &["-u", "+%Y-%m-%d"]),
            compiler: answer("rustc", &["--version"]).split(" (").next().unwrap_or_default().to_owned(),
        }
    }
}

fn answer(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().ok();
    output.map_or(String::new(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The mount whose path is the longest that leads to the directory.
fn file_system(dir: &Path) -> String {
    let mounts = std::fs::read_to_string("/proc/mounts").unwrap_or_default();
    let words = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let leading = words.filter(|words| words.len() > 3 && dir.starts_with(words[1]));
    let Some(words) = leading.max_by_key(|words| words[1].len()) else { return String::new() };
    format!("{} on {}", words[2], words[0])
}

/// The load average of the last minute.
pub fn load() -> f64 {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().and_then(|word| word.parse().ok()).unwrap_or_default()
}

/// What a small write and its fdatasync take in a file of zeros: median and 99th percentile.
pub fn flush_latency(dir: &Path, count: usize) -> Result<(Duration, Duration)> {
    let path = dir.join("latency");
    let file = File::options().write(true).create(true).truncate(true).open(&path)?;
    file.write_all_at(&vec![0; 1 << 20], 0)?;
    file.sync_all()?;
    let mut times = Vec::with_capacity(count);
    for turn in 0..count {
        let begin = Instant::now();
        file.write_all_at(&[1; 200], (turn * 200 % (1 << 19)) as u64)?;
        file.sync_data()?;
        times.push(begin.elapsed());
    }
    times.sort_unstable();
    std::fs::remove_file(path)?;
    Ok((times[count / 2], times[count * 99 / 100]))
}

/// Sees that what a process left in the page cache is on the device, so that no later measurement pays for it.
pub fn settle(dir: &Path) -> Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            settle(&path)?;
        } else if let Ok(file) = File::open(path) {
            file.sync_all()?;
        }
    }
    Ok(())
}
