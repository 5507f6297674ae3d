//! Questions about the node as a whole, and its end: INFO, STATS, TIME, ROLE, SHUTDOWN.

use super::Server;
use super::facts::VERSION;
use super::info::{self, InfoInput};
use super::saving::Then;
use super::stats;
use crate::clock;
use crate::command::Args;
use crate::command::reply::{ReplyWriter, errors};
use crate::worker::{After, Answer, Call, Session};

const CRAB: &str = "
    _~^~^~_
\\) /  o o  \\ (/
  '_   -   _'
  / '-----' \\
";

impl Server {
    /// Carries out a command about the node.
    pub(super) fn node(&self, call: &Call<'_>, session: &Session, out: &mut Answer<'_>) {
        match call.spec.name {
            "info" => {
                let (mut facts, view) = (self.facts(), self.statistics.view());
                facts.cluster_enabled &= !session.forwards;
                let input = InfoInput { facts: &facts, view: &view };
                out.verbatim(&info::render(&input, call.args.from(1).iter()));
            }
            "stats" => {
                let text = stats::json(&self.facts(), &self.statistics.view());
                out.bulk(text.as_bytes());
            }
            "time" => {
                // Not the time of the batch, which is in milliseconds.
                let micros = clock::now_micros();
                out.array(2);
                out.bulk((micros / 1_000_000).to_string().as_bytes());
                out.bulk((micros % 1_000_000).to_string().as_bytes());
            }
            "role" => {
                out.array(3);
                out.bulk(b"master");
                out.integer(0);
                out.array(0);
            }
            "lolwut" => out.verbatim(&format!("{CRAB}\nCrabCache {VERSION}\n")),
            name => out.error(&format!("ERR {name} is not supported by this version")),
        }
    }

    /// Ends the node, when what is to be saved was saved. There is no answer: the connection
    /// closes, as clients expect.
    pub(super) fn shutdown(
        &self,
        args: Args<'_>,
        session: &mut Session,
        out: &mut Answer<'_>,
    ) -> After {
        let has = |name: &str| args.iter().any(|w| w.eq_ignore_ascii_case(name.as_bytes()));
        let known = ["nosave", "save", "now", "force", "abort"];
        let is_known = |w: &[u8]| known.iter().any(|n| w.eq_ignore_ascii_case(n.as_bytes()));
        let abort = has("abort");
        if !args.iter().all(is_known) || has("save") && has("nosave") || abort && args.len() > 1 {
            out.error(errors::SYNTAX);
            return After::Continue;
        }
        if abort {
            out.error("ERR No shutdown in progress.");
            return After::Continue;
        }
        // What is not loaded yet would be missing in a snapshot, and is on disk anyway.
        let is_loading = self.shared.notice.word().is_loading();
        let save = !is_loading && (has("save") || !has("nosave") && self.saves_at_end());
        let client = &session.client;
        tracing::info!(id = client.id, peer = %client.peer, save, "SHUTDOWN by a client");
        if save {
            let then = if has("force") { Then::EndAnyway } else { Then::End };
            match self.save(then, session) {
                Ok(after) => return after,
                Err(error) if has("force") => tracing::error!("SHUTDOWN: {error}"),
                Err(error) => {
                    out.error(error);
                    return After::Continue;
                }
            }
        }
        self.end();
        After::Close
    }
}
