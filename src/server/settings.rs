//! CONFIG: settings shown and changed while the node runs.

use super::Server;
use crate::command::Args;
use crate::command::reply::ReplyWriter;
use crate::config::{Config, redis};
use crate::worker::{Answer, Settings};

impl Server {
    /// Carries out CONFIG `subcommand`.
    pub(super) fn configure(&self, subcommand: &str, args: Args<'_>, out: &mut Answer<'_>) {
        match subcommand {
            "get" => {
                let patterns: Vec<&[u8]> = args.iter().collect();
                let found = redis::get(&self.config.lock(), &patterns);
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
            _ => out.error("ERR The server is running without a config file"),
        }
    }

    fn config_set(&self, args: Args<'_>, out: &mut Answer<'_>) {
        if !args.len().is_multiple_of(2) {
            return out.error("ERR wrong number of arguments for 'config|set' command");
        }
        let pairs: Vec<(&[u8], &[u8])> =
            (0..args.len()).step_by(2).map(|i| (args.get(i), args.get(i + 1))).collect();
        let mut config = self.config.lock();
        let mut next = config.clone();
        match redis::set(&mut next, &pairs).and_then(|()| self.check(&next)) {
            Ok(()) => {
                *config = next;
                self.apply(&config);
                out.simple("OK");
            }
            Err(text) => out.error(&text),
        }
    }

    /// Whether the node as it runs can hold to these settings.
    fn check(&self, config: &Config) -> Result<(), String> {
        let least = self.shared.engine.max_memory_min();
        match config.memory.max_bytes() {
            Some(bytes) if bytes < least => Err(format!(
                "ERR CONFIG SET failed (possibly related to argument 'maxmemory') - at least \
                 {least} bytes with the {} shards of this node; start it with memory.max_memory \
                 set to have fewer shards",
                self.shared.engine.shard_count()
            )),
            _ => Ok(()),
        }
    }

    /// Brings about what the settings say, as far as that can change while the node runs.
    fn apply(&self, config: &Config) {
        let Server { shared, .. } = self;
        shared.engine.set_limits(config.memory.max_bytes(), config.memory.items_bound());
        shared.engine.set_policy(config.memory.policy_in_force());
        shared.slowlog.set_len_max(config.slowlog.max_len);
        shared.notice.set_settings(Settings::of(config));
    }
}
