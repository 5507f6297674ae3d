//! CONFIG REWRITE: puts settings that were changed while the node ran into the file it was started
//! from. Comments, order and everything else in it stay. Knows TOML and files; which settings were
//! changed is the session's business.

use super::layers::read_file;
use super::{Config, KEYS, Key};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use toml::de::{DeTable, DeValue};

/// Writes the values that `keys` have in `config` into the file, all or none: a new file takes the
/// place of the old one in one step, with its permissions, so that no reader and no crash ever
/// sees half of it.
///
/// # Errors
/// What the system says, or where the file is no longer one that a node would start with.
pub fn rewrite(path: &Path, config: &Config, keys: &[&'static Key]) -> Result<(), String> {
    // A link stays one: what it leads to is replaced.
    let path = path.canonicalize().map_err(|e| e.to_string())?;
    // A pipe would be waited for without end, and cannot be replaced.
    if !fs::metadata(&path).map_err(|e| e.to_string())?.is_file() {
        return Err(format!("{}: not a regular file", path.display()));
    }
    let mut text = fs::read_to_string(&path).map_err(|e| e.to_string())?;
    for key in keys {
        text = with_value(&path, &text, key, config)?;
    }
    replace(&path, text.as_bytes()).map_err(|e| e.to_string())
}

/// The text with this key as it is in `config`. There are a few ways to write a key; the first that
/// changes it and nothing else is taken.
fn with_value(path: &Path, text: &str, key: &Key, config: &Config) -> Result<String, String> {
    let mut before = Config::default();
    read_file(&mut before, path, text).map_err(|error| error.to_string())?;
    let value = key.get(config);
    if key.get(&before) == value {
        return Ok(text.to_owned());
    }
    let is_right = |changed: &String| {
        let mut read = Config::default();
        read_file(&mut read, path, changed).is_ok()
            && KEYS.iter().all(|other| {
                let from = if other.name == key.name { config } else { &before };
                other.get(&read) == other.get(from)
            })
    };
    let value = value.toml();
    candidates(text, key, &value)
        .into_iter()
        .find(is_right)
        .ok_or_else(|| format!("{}: there is no place for {}", path.display(), key.name))
}

/// Texts that may have `key = value`, the most natural one first.
fn candidates(text: &str, key: &Key, value: &str) -> Vec<String> {
    let (section, name) = key.name.split_once('.').unwrap_or_default();
    let found = Places::of(text, section, name);
    if let Some(span) = found.value {
        return vec![format!("{}{value}{}", &text[..span.0], &text[span.1..])];
    }
    let mut texts = Vec::new();
    let mut insert = |at: usize, what: String| {
        texts.push(format!("{}{what}{}", &text[..at], &text[at..]));
    };
    let line_after = |at: usize| text[at..].find('\n').map_or(text.len(), |end| at + end + 1);
    let begin = |at: usize| if at > 0 && !text[..at].ends_with('\n') { "\n" } else { "" };
    if let Some(last) = found.last {
        let at = line_after(last);
        insert(at, format!("{}{name} = {value}\n", begin(at)));
        insert(at, format!("{}{section}.{name} = {value}\n", begin(at)));
    }
    if let Some(header) = found.header {
        let at = line_after(header);
        insert(at, format!("{}{name} = {value}\n", begin(at)));
    }
    if let Some(inside) = found.inline {
        insert(inside, format!(" {name} = {value},"));
        insert(inside, format!(" {name} = {value} "));
    }
    let gap = if text.trim().is_empty() { "" } else { "\n" };
    let at = text.len();
    insert(at, format!("{}{gap}[{section}]\n{name} = {value}\n", begin(at)));
    texts
}

/// Where a section and a key of it stand in a text, as far as they do.
#[derive(Default)]
struct Places {
    /// First byte of the value, and one past its last.
    value: Option<(usize, usize)>,
    /// The last byte of the section's last value.
    last: Option<usize>,
    /// The line `[section]`.
    header: Option<usize>,
    /// Behind the brace of `section = {`.
    inline: Option<usize>,
}

impl Places {
    fn of(text: &str, section: &str, name: &str) -> Places {
        let mut places = Places::default();
        let mut at = 0;
        for line in text.split_inclusive('\n') {
            let inner = line.trim_start().strip_prefix('[').and_then(|rest| rest.split_once(']'));
            if inner.is_some_and(|(inner, _)| inner.trim() == section) {
                places.header = Some(at);
            }
            at += line.len();
        }
        let Ok(table) = DeTable::parse(text) else { return places };
        let known = table.get_ref().iter().find(|(key, _)| key.get_ref().as_ref() == section);
        let Some((_, value)) = known else { return places };
        let DeValue::Table(keys) = value.get_ref() else { return places };
        if text[value.span()].starts_with('{') {
            places.inline = Some(value.span().start + 1);
            places.header = None;
        }
        for (key, value) in keys {
            let span = value.span();
            if key.get_ref().as_ref() == name {
                places.value = Some((span.start, span.end));
            }
            places.last = places.last.max(Some(span.end.saturating_sub(1)));
        }
        places
    }
}

/// Puts a file of these bytes in the place of another.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let temporary = folder.join(name);
    // Left behind by a process of the same number that died half-way.
    let _ = fs::remove_file(&temporary);
    let done = write_whole(&temporary, path, bytes).and_then(|()| fs::rename(&temporary, path));
    if done.is_err() {
        // The first error is the one to tell.
        let _ = fs::remove_file(&temporary);
        return done;
    }
    // The new name of the file is on the disk once its folder is.
    File::open(folder)?.sync_all()
}

/// Writes a new file with the permissions of another, down to the disk. Nobody else may read it
/// before: there may be tokens in it.
fn write_whole(temporary: &PathBuf, like: &Path, bytes: &[u8]) -> io::Result<()> {
    let permissions = fs::metadata(like)?.permissions();
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(temporary)?;
    file.write_all(bytes)?;
    file.set_permissions(permissions)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::rewrite;
    use crate::config::{Config, Key, MaxMemory};
    use crate::engine::Policy;
    use std::os::unix::fs::PermissionsExt;

    /// What becomes of a file when a bound of 100 MiB and a policy are written to it.
    fn rewritten(before: &str) -> Result<String, String> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("node.toml");
        std::fs::write(&path, before).expect("a file");
        let mut config = Config::default();
        config.memory.max_memory = MaxMemory::Bytes(100 << 20);
        config.memory.policy = Some(Policy::AllKeysLru);
        let keys = ["memory.max_memory", "memory.policy"].map(|k| Key::find(k).expect("a key"));
        rewrite(&path, &config, &keys)?;
        let left = std::fs::read_dir(folder.path()).expect("a folder").count();
        assert_eq!(left, 1, "a temporary file is left");
        Ok(std::fs::read_to_string(&path).expect("the file"))
    }

    #[test]
    fn comments_and_order_stay() {
        let before = "# ours\n[memory] # how much\npolicy = \"auto\" # which\n# much\n\
                      max_memory = '1GiB'\n\n[server]\nport = 0 # any\n";
        let after = "# ours\n[memory] # how much\npolicy = \"allkeys-lru\" # which\n# much\n\
                     max_memory = \"100MiB\"\n\n[server]\nport = 0 # any\n";
        assert_eq!(rewritten(before).as_deref(), Ok(after));
        assert_eq!(rewritten(after).as_deref(), Ok(after));
    }

    #[test]
    fn what_is_not_there_is_put_where_it_belongs() {
        let lines = "max_memory = \"100MiB\"\npolicy = \"allkeys-lru\"\n";
        for (before, after) in [
            ("", format!("[memory]\n{lines}")),
            ("[server]\nport = 0", format!("[server]\nport = 0\n\n[memory]\n{lines}")),
            ("[memory]\n[server]\n", format!("[memory]\n{lines}[server]\n")),
            ("[memory]", format!("[memory]\n{lines}")),
            (
                "[memory]\nmax_items = 5 # few\n\n[server]\n",
                format!("[memory]\nmax_items = 5 # few\n{lines}\n[server]\n"),
            ),
            (
                "memory.max_items = 5\n[server]\n",
                "memory.max_items = 5\nmemory.max_memory = \"100MiB\"\n\
                 memory.policy = \"allkeys-lru\"\n[server]\n"
                    .into(),
            ),
            (
                "memory = { max_items = 5 }\n",
                "memory = { policy = \"allkeys-lru\", max_memory = \"100MiB\", max_items = 5 }\n"
                    .into(),
            ),
        ] {
            assert_eq!(rewritten(before), Ok(after), "{before:?}");
        }
    }

    #[test]
    fn what_a_node_would_not_start_with_is_not_touched() {
        for broken in ["[memory", "[memory]\nmax_memory = 1\n", "[memory]\nnonsense = 1\n"] {
            assert!(rewritten(broken).is_err(), "{broken}");
        }
    }

    #[test]
    fn a_pipe_is_not_waited_for() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&path).status().expect("mkfifo");
        assert!(made.success());
        let key = Key::find("server.max_clients").expect("a key");
        let error = rewrite(&path, &Config::default(), &[key]).expect_err("a pipe");
        assert!(error.ends_with("pipe: not a regular file"), "{error}");
        assert!(rewrite(folder.path(), &Config::default(), &[key]).is_err());
    }

    #[test]
    fn permissions_and_links_stay() {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, link) = (folder.path().join("node.toml"), folder.path().join("link.toml"));
        std::fs::write(&path, "").expect("a file");
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o640)).expect("permissions");
        std::os::unix::fs::symlink(&path, &link).expect("a link");
        let mut config = Config::default();
        config.server.max_clients = 5;
        let key = Key::find("server.max_clients").expect("a key");
        assert_eq!(rewrite(&link, &config, &[key]), Ok(()));
        assert!(link.is_symlink());
        let mode = std::fs::metadata(&path).expect("the file").permissions().mode();
        assert_eq!(mode & 0o777, 0o640);
        let text = std::fs::read_to_string(&path).expect("the file");
        assert_eq!(text, "[server]\nmax_clients = 5\n");
    }
}
