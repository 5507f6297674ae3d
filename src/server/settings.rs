//! CONFIG: settings shown and changed while the node runs.

use super::{Current, Server};
use crate::command::Args;
use crate::command::reply::{ReplyWriter, errors};
use crate::config::{self, Config, KEYS, redis};
use crate::worker::{Answer, Settings};

impl Server {
    /// Carries out CONFIG `subcommand`.
    pub(super) fn configure(&self, subcommand: &str, args: Args<'_>, out: &mut Answer<'_>) {
        match subcommand {
            "get" => {
                let patterns: Vec<&[u8]> = args.iter().collect();
                let found = redis::get(&self.current.lock().config, &patterns);
                out.map(found.len());
                for (name, value) in &found {
                    out.bulk(name.as_bytes());
                    out.bulk(value.as_bytes());
                }
            }
            "set" => self.config_set(args, out),
            "resetstat" => {
                self.statistics.reset();
                out.simple("OK");
            }
            _ => self.config_rewrite(out),
        }
    }

    fn config_set(&self, args: Args<'_>, out: &mut Answer<'_>) {
        if !args.len().is_multiple_of(2) {
            return out.error(errors::SYNTAX);
        }
        let pairs: Vec<(&[u8], &[u8])> =
            (0..args.len()).step_by(2).map(|i| (args.get(i), args.get(i + 1))).collect();
        let mut current = self.current.lock();
        let Current { config, changed } = &mut *current;
        let mut next = config.clone();
        match redis::set(&mut next, &pairs).and_then(|()| self.check(&next)) {
            Ok(()) => {
                for key in KEYS.iter().filter(|key| key.get(config) != key.get(&next)) {
                    if !changed.iter().any(|known| known.name == key.name) {
                        changed.push(key);
                    }
                }
                *config = next;
                self.apply(config);
                out.simple("OK");
            }
            Err(text) => out.error(&text),
        }
    }

    /// CONFIG REWRITE. What CONFIG SET has not changed is left to the file, the environment and
    /// `--set`. This worker waits for the disk, as all of Redis does.
    fn config_rewrite(&self, out: &mut Answer<'_>) {
        let Some(path) = self.config_file() else {
            return out.error("ERR The server is running without a config file");
        };
        let mut current = self.current.lock();
        match config::rewrite(path, &current.config, &current.changed) {
            Ok(()) => {
                current.changed.clear();
                tracing::info!(path = %path.display(), "CONFIG REWRITE executed with success");
                out.simple("OK");
            }
            Err(reason) => {
                tracing::warn!(path = %path.display(), %reason, "CONFIG REWRITE failed");
                out.error(&format!("ERR Rewriting config file: {reason}"));
            }
        }
    }

    /// Whether the node as it runs can hold to these settings.
    fn check(&self, config: &Config) -> Result<(), String> {
        let (least, shards) =
            (self.shared.engine.max_memory_min(), self.shared.engine.shard_count());
        if config.memory.items_bound().is_some_and(|items| items < shards as u64) {
            return Err(format!(
                "ERR CONFIG SET failed (possibly related to argument 'memory.max_items') - at \
                 least {shards} items with the {shards} shards of this node; start it with \
                 memory.max_items set to have fewer shards"
            ));
        }
        match config.memory.max_bytes() {
            Some(bytes) if bytes < least => Err(format!(
                "ERR CONFIG SET failed (possibly related to argument 'maxmemory') - at least \
                 {least} bytes with the {shards} shards of this node; start it with \
                 memory.max_memory set to have fewer shards"
            )),
            _ => Ok(()),
        }
    }

    /// Brings about what the settings say, as far as that can change while the node runs.
    fn apply(&self, config: &Config) {
        let Server { shared, .. } = self;
        shared.engine.set_limits(config.memory.max_bytes(), config.memory.items_bound());
        shared.engine.set_policy(config.memory.policy_in_force());
        shared.engine.set_value_bytes_max(config.server.validation.value_bytes_max());
        shared.slowlog.set_len_max(config.slowlog.max_len);
        shared.notice.set_settings(Settings::of(config));
    }
}
