//! CRABCACHE: what operators ask about a cluster and change in it, from any node. Answers are JSON
//! for programs, refusals say what to do. Knows neither Raft nor peers: a [`ClusterAdmin`] has the
//! commands ordered.

mod asked;
mod changes;
mod plan;
mod settings;
mod status;

use super::Server;
use crate::command::Args;
use crate::command::reply::ReplyWriter;
use crate::resp::Version;
use crate::worker::{After, Answer, ClusterAdmin, Ordered, Session, Standing, encoded};
use asked::Asked;
use changes::Change;
use cluster::control::{Outcome, Rejection};
use cluster::node::NodeId;
use serde_json::json;
use std::collections::BTreeSet;

const NO_CLUSTER: &str = "ERR this node is not one of a cluster: cluster.enabled is false";

impl Server {
    /// Carries out CRABCACHE `subcommand`, given with both names.
    pub(super) fn admin_cluster(
        &self,
        subcommand: &str,
        words: Args<'_>,
        session: &mut Session,
        out: &mut Answer<'_>,
    ) -> After {
        let Some(admin) = self.shared.others.admin.get() else {
            out.error(NO_CLUSTER);
            return After::Continue;
        };
        let args: Vec<&[u8]> = words.from(2).iter().collect();
        let asked = match Asked::read(subcommand, &args) {
            Ok(asked) => asked,
            Err(error) => {
                out.error(&error);
                return After::Continue;
            }
        };
        match self.do_asked(admin.as_ref(), &asked) {
            Ok(Done::Now(text)) => out.bulk(text.as_bytes()),
            Ok(Done::Ordered(ordered, told)) => {
                session.answer_later(Box::pin(answer(ordered, told, session.version)));
                return After::Await;
            }
            Err(error) => out.error(&error),
        }
        After::Continue
    }

    fn do_asked(&self, admin: &dyn ClusterAdmin, asked: &Asked) -> Result<Done, String> {
        if let Asked::Form { without } = asked {
            if admin.standing().state.is_formed() {
                return Err("ERR the cluster is formed: no node of it waits for others".into());
            }
            admin.form_without(without.clone()).map_err(|error| format!("ERR {error}"))?;
            let told = format!("no longer waiting for {}", without.join(", "));
            return Ok(Done::Now(message(true, &told)));
        }
        let standing = admin.standing();
        let up = self.up(&standing);
        match asked {
            Asked::Status => {
                let copies = self.shared.others.copies.get();
                let lags = copies.map(|copies| copies.all_behind()).unwrap_or_default();
                return Ok(Done::Now(status::json(&standing, &up, &lags, self.is_leased())));
            }
            _ if !standing.state.is_formed() => {
                let reason = standing.trouble.as_deref().unwrap_or("it is being formed");
                return Err(format!("ERR there is no cluster yet: {reason}"));
            }
            Asked::Plan => return Ok(Done::Now(plan::json(&standing.state, &up))),
            Asked::Settings(pairs) if pairs.is_empty() => {
                return Ok(Done::Now(settings::json(&standing.state)));
            }
            Asked::Settings(_)
            | Asked::Node { .. }
            | Asked::Move { .. }
            | Asked::Token { .. }
            | Asked::Form { .. } => {}
        }
        match changes::change(asked, &standing.state, &up)? {
            Change::Nothing(told) => Ok(Done::Now(message(false, &told))),
            Change::Order(command, told) => Ok(Done::Ordered(admin.propose(*command), told)),
        }
    }

    /// Who is believed to be there.
    fn up(&self, standing: &Standing) -> BTreeSet<NodeId> {
        let view = self.shared.views.get();
        let is_up = |node: &NodeId| {
            standing.me.is_some_and(|me| me.node == *node)
                || view.as_ref().is_some_and(|view| view.is_up(*node))
        };
        let members = standing.state.nodes.iter().filter(|(_, node)| node.is_member());
        members.map(|(id, _)| *id).filter(is_up).collect()
    }

    fn is_leased(&self) -> bool {
        self.shared.views.get().is_some_and(|view| view.is_leased())
    }
}

/// What becomes of a question or a wish.
enum Done {
    /// The answer.
    Now(String),
    /// It is being ordered; what to say when that is done.
    Ordered(Ordered, String),
}

async fn answer(ordered: Ordered, told: String, version: Version) -> bytes::Bytes {
    let answer = match ordered.await {
        Ok(outcome) => outcome_of(outcome, &told),
        Err(reason) => Err(format!("ERR {reason}; it is safe to try again")),
    };
    encoded(version, |out| match answer {
        Ok(text) => out.bulk(text.as_bytes()),
        Err(error) => out.error(&error),
    })
}

fn outcome_of(outcome: Outcome, told: &str) -> Result<String, String> {
    match outcome {
        Outcome::Done | Outcome::Registered(_) => Ok(message(true, told)),
        Outcome::Rejected(rejection) => Err(format!("ERR {}", changes::explain(rejection))),
        Outcome::Changed(results) => {
            let failed: Vec<Rejection> = results.iter().filter_map(|r| r.err()).collect();
            match failed.first() {
                None => Ok(message(true, told)),
                Some(first) if failed.len() == results.len() => {
                    Err(format!("ERR {}", changes::explain(*first)))
                }
                Some(first) => {
                    let count = failed.len();
                    let why = changes::explain(*first);
                    Ok(message(true, &format!("{told}; not for {count} groups: {why}")))
                }
            }
        }
    }
}

/// The answer to a wish: whether it changed something, and what to tell people.
fn message(changed: bool, told: &str) -> String {
    json!({ "changed": changed, "message": told }).to_string()
}
