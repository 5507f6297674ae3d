//! What the machine gives this process: cores and memory, control groups considered.
//! Reads `/proc` and `/sys`; where they are missing it says so by `None`.

use std::path::{Path, PathBuf};

/// Cores this process may use, at least 1: affinity and the control group's quota considered.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// The smaller of the machine's memory and the limits of this process's control groups.
pub fn memory_bytes() -> Option<u64> {
    let groups = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let limit = cgroup_limit(Path::new("/sys/fs/cgroup"), &groups);
    let total = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| mem_total(&text));
    total.into_iter().chain(limit).min()
}

fn mem_total(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

/// The least limit on the way from a process's groups up to the root. Inside a container the
/// group is often mounted as the root itself, so that its path does not exist; hence the root.
fn cgroup_limit(root: &Path, groups: &str) -> Option<u64> {
    groups.lines().filter_map(|line| hierarchy(root, line)).flat_map(limits_upward).min()
}

/// The mount and the group of one line of `/proc/self/cgroup`, if it says something of memory:
/// `0::/path` (version 2) or `7:memory:/path` (version 1).
fn hierarchy(root: &Path, line: &str) -> Option<(PathBuf, String, &'static str)> {
    let mut fields = line.splitn(3, ':');
    let (_, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
    let path = path.trim_start_matches('/').to_owned();
    if controllers.is_empty() {
        return Some((root.to_owned(), path, "memory.max"));
    }
    let memory = controllers.split(',').any(|name| name == "memory");
    memory.then(|| (root.join("memory"), path, "memory.limit_in_bytes"))
}

fn limits_upward((mount, path, file): (PathBuf, String, &'static str)) -> Vec<u64> {
    Path::new(&path)
        .ancestors()
        .map(|group| mount.join(group).join(file))
        .filter_map(|file| std::fs::read_to_string(file).ok()?.trim().parse().ok())
        .collect()
}

/// The name of this machine, or of this container; `localhost` when the system does not tell.
pub fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    if name.is_empty() { "localhost".into() } else { name.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::{cgroup_limit, cores, mem_total, memory_bytes};
    use std::fs;

    #[test]
    fn this_machine_has_something() {
        assert!(cores() >= 1);
        assert!(memory_bytes().is_none_or(|bytes| bytes > 1 << 20));
    }

    #[test]
    fn total_memory() {
        assert_eq!(mem_total("MemTotal:       4028440 kB\nMemFree: 1 kB\n"), Some(4_125_122_560));
        assert_eq!(mem_total("MemFree: 1 kB\n"), None);
    }

    #[test]
    fn the_least_limit_on_the_way_up_counts() {
        let dir = tempfile::tempdir().expect("a directory");
        let deep = dir.path().join("a/b");
        fs::create_dir_all(&deep).expect("directories");
        fs::write(deep.join("memory.max"), "max\n").expect("a file");
        fs::write(dir.path().join("a/memory.max"), "1000\n").expect("a file");
        fs::write(dir.path().join("memory.max"), "2000\n").expect("a file");
        assert_eq!(cgroup_limit(dir.path(), "0::/a/b\n"), Some(1000));
        assert_eq!(cgroup_limit(dir.path(), "0::/not/here\n"), Some(2000));
        assert_eq!(cgroup_limit(dir.path(), "1:cpu:/a\n"), None);
    }

    #[test]
    fn version_1_has_a_mount_of_its_own() {
        let dir = tempfile::tempdir().expect("a directory");
        fs::create_dir_all(dir.path().join("memory/x")).expect("directories");
        fs::write(dir.path().join("memory/x/memory.limit_in_bytes"), "3000").expect("a file");
        assert_eq!(cgroup_limit(dir.path(), "7:cpu:/x\n8:memory,blkio:/x\n"), Some(3000));
    }
}
