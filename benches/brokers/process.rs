//! What does a process use? As the kernel counts it.

use std::{fs, path::Path, thread, time::Duration};

/// A process, by its id.
#[derive(Clone, Copy)]
pub struct Process(pub u32);

impl Process {
    /// The CPU time of all its threads. The count of a running thread is late by a tick, so call this when all threads wait.
    pub fn cpu(self) -> Duration {
        let threads = fs::read_dir(format!("/proc/{}/task", self.0)).expect("the process runs");
        threads.map(|thread| cpu_of(&thread.unwrap().path())).sum()
    }

    /// The same, after the process has become idle.
    pub fn cpu_at_rest(self) -> Duration {
        loop {
            let before = self.cpu();
            thread::sleep(Duration::from_millis(20));
            let cpu = self.cpu();
            // An idle broker wakes up a few times a second.
            if cpu - before < Duration::from_micros(500) {
                return cpu;
            }
        }
    }

    /// That of the main thread: the one that serves a broker's clients.
    pub fn main_cpu(self) -> Duration {
        cpu_of(Path::new(&format!("/proc/{0}/task/{0}", self.0)))
    }

    /// The memory it takes, in bytes.
    pub fn memory(self) -> u64 {
        self.kilobytes("smaps_rollup", "Rss:") // "status" is off by some pages for each CPU
    }

    /// The most that it has taken since [`Process::forget_peak`].
    pub fn peak(self) -> u64 {
        self.kilobytes("status", "VmHWM:")
    }

    pub fn forget_peak(self) {
        fs::write(format!("/proc/{}/clear_refs", self.0), "5").expect("our own process");
    }

    fn kilobytes(self, file: &str, field: &str) -> u64 {
        let text = fs::read_to_string(format!("/proc/{}/{file}", self.0)).expect("it runs");
        let value = text.lines().find_map(|line| line.strip_prefix(field)).expect("a field");
        1024 * value.trim().trim_end_matches(" kB").parse::<u64>().expect("a number")
    }
}

/// The CPU time of this thread.
pub fn own_cpu() -> Duration {
    // Only a thread that has been off the CPU has an exact count.
    thread::sleep(Duration::from_millis(1));
    cpu_of(Path::new("/proc/thread-self"))
}

fn cpu_of(thread: &Path) -> Duration {
    let text = fs::read_to_string(thread.join("schedstat")).expect("a kernel that counts");
    let nanoseconds = text.split(' ').next().and_then(|first| first.parse().ok());
    Duration::from_nanos(nanoseconds.expect("a number"))
}
