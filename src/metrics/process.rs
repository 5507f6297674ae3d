//! What the kernel says about this process: memory, CPU time, files. Reads /proc and two system
//! calls; zero where there is no answer. The only file of this room that leaves it.

use std::fs;

/// What the process uses.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Process {
    /// Resident memory in bytes.
    pub resident_bytes: u64,
    /// Mapped memory in bytes.
    pub virtual_bytes: u64,
    /// CPU seconds in user mode.
    pub cpu_user_seconds: f64,
    /// CPU seconds in the kernel.
    pub cpu_system_seconds: f64,
    /// Threads.
    pub threads: u64,
    /// Open files and sockets.
    pub open_files: u64,
    /// Most of them allowed.
    pub open_files_max: u64,
}

impl Process {
    /// Asks the kernel now.
    pub fn now() -> Process {
        let page = page_bytes();
        let statm = fs::read_to_string("/proc/self/statm").unwrap_or_default();
        let mut pages = statm.split_ascii_whitespace().map(|n| n.parse::<u64>().unwrap_or(0));
        let virtual_bytes = pages.next().unwrap_or(0) * page;
        let resident_bytes = pages.next().unwrap_or(0) * page;
        let (cpu_user_seconds, cpu_system_seconds) = cpu_seconds();
        Process {
            resident_bytes,
            virtual_bytes,
            cpu_user_seconds,
            cpu_system_seconds,
            threads: count_dir("/proc/self/task"),
            open_files: count_dir("/proc/self/fd"),
            open_files_max: open_files_max(),
        }
    }
}

/// Memory of the machine in bytes, whatever limit the process has.
pub fn system_memory_bytes() -> u64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|l| l.strip_prefix("MemTotal:"));
    let kib = line.and_then(|l| l.trim().strip_suffix("kB")).and_then(|n| n.trim().parse().ok());
    kib.unwrap_or(0u64) * 1024
}

/// The system as `uname -srm` gives it.
pub fn system_name() -> String {
    let read = |file: &str| fs::read_to_string(file).unwrap_or_default().trim().to_owned();
    let kind = read("/proc/sys/kernel/ostype");
    let release = read("/proc/sys/kernel/osrelease");
    format!("{kind} {release} {}", std::env::consts::ARCH)
}

fn count_dir(path: &str) -> u64 {
    fs::read_dir(path).map_or(0, |list| list.count() as u64)
}

fn page_bytes() -> u64 {
    // SAFETY: sysconf takes a number and touches no memory of ours.
    u64::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096)
}

/// User and system seconds of all threads.
fn cpu_seconds() -> (f64, f64) {
    // SAFETY: a rusage is plain integers, for which all zeros is a value.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: `usage` is a rusage that outlives the call, which writes nothing else.
    if unsafe { libc::getrusage(libc::RUSAGE_SELF, &mut usage) } != 0 {
        return (0.0, 0.0);
    }
    let seconds = |t: libc::timeval| t.tv_sec as f64 + t.tv_usec as f64 / 1e6;
    (seconds(usage.ru_utime), seconds(usage.ru_stime))
}

fn open_files_max() -> u64 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is a rlimit that outlives the call, which writes nothing else.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) } != 0 {
        return 0;
    }
    limit.rlim_cur
}

#[cfg(test)]
mod tests {
    use super::{Process, system_memory_bytes, system_name};

    #[test]
    fn the_kernel_answers() {
        let process = Process::now();
        assert!(process.resident_bytes > 100_000);
        assert!(process.virtual_bytes >= process.resident_bytes);
        assert!(process.cpu_user_seconds + process.cpu_system_seconds > 0.0);
        assert!(process.threads >= 1);
        assert!(process.open_files >= 3 && process.open_files <= process.open_files_max);
        assert!(system_memory_bytes() > process.resident_bytes);
        assert!(system_name().starts_with("Linux "));
    }
}
