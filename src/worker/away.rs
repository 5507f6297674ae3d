//! Commands that are not carried out here, or not now: refused, waiting, or sent to other nodes, as
//! many at once as stand together. Knows no peer and no topology.

use super::batch::Frames;
use super::execute::{Batch, Rare};
use super::plan::Plan;
use super::route::{Away, Forwarding, Scope};
use super::session::{After, Session};
use super::unserved::HANDED_OVER;
use crate::command::Args;
use crate::command::reply::ReplyWriter;
use crate::command::spec::Spec;
use crate::metrics::CommandIndex;
use bytes::Bytes;
use cluster::slot::{Group, Slot};

/// A forwarded command finds nobody who asks others.
const NO_FORWARDER: &str = "CLUSTERDOWN This node cannot reach the other nodes yet";

impl Batch<'_, '_> {
    /// Tells the client why a command is not carried out here, lets it wait, or asks others for it.
    #[cold]
    pub(super) fn send_away(
        &mut self,
        session: &mut Session,
        spec: &'static Spec,
        args: Args<'_>,
        away: &Away,
    ) -> Rare {
        match away {
            Away::Refused(text) => self.refuse(spec, text),
            Away::Unserved(_) if self.patient => return Rare::Unserved,
            Away::Unserved(text) => self.refuse(spec, text),
            Away::Forward { scope, readonly, topology_version } => {
                let command = Forwarding {
                    spec,
                    scope: *scope,
                    request: request(args),
                    version: session.version,
                    readonly: *readonly,
                    topology_version: *topology_version,
                };
                if self.forward(session, vec![command]) {
                    if spec.is_write() {
                        session.note_writes(concerned(*scope, spec, args));
                    }
                    return Rare::Done(Some(After::Await));
                }
                self.refuse(spec, NO_FORWARDER);
            }
        }
        Rare::Done(None)
    }

    /// Sends the first of `plans`, if it is to be forwarded, with all behind it that may go along.
    /// Those that belong here go too: their answers come in between. How many; 0: nothing was
    /// done.
    #[cold]
    pub(super) fn send_run(
        &mut self,
        session: &mut Session,
        plans: &[Plan<'_>],
        frames: Frames<'_>,
    ) -> usize {
        let Some((_, topology_version)) = plans.first().and_then(forwarded) else { return 0 };
        let (version, readonly) = (session.version, session.readonly);
        let mut commands = Vec::new();
        for (i, plan) in plans.iter().enumerate() {
            let (spec, group) = match plan {
                Plan::Key { spec, key, .. } if !readonly => (*spec, key.group()),
                Plan::Away { spec, .. } => match forwarded(plan) {
                    Some((Scope::Group(group), _)) => (*spec, group),
                    Some((Scope::Keys | Scope::Everywhere, _)) | None => break,
                },
                Plan::Key { .. } | Plan::Data { .. } | Plan::Session { .. } | Plan::Refused(_) => {
                    break;
                }
            };
            if spec.is_write() {
                session.note_write(group);
            }
            let (scope, request) = (Scope::Group(group), request(frames.args(i)));
            commands.push(Forwarding { spec, scope, request, version, readonly, topology_version });
        }
        let count = commands.len();
        if count > 1 && self.forward(session, commands) { count } else { 0 }
    }

    /// Whether there is somebody who does it.
    fn forward(&mut self, session: &mut Session, commands: Vec<Forwarding>) -> bool {
        let Some(forwarder) = self.worker.shared.others.forwarder.get() else { return false };
        commands.iter().for_each(|command| self.count(command.spec.id.index(), None));
        self.worker.metrics().commands_forwarded.add(commands.len() as u64);
        session.answer_later(forwarder.forward(commands));
        true
    }

    /// A command meets a group that this node serves no more, or not yet.
    #[cold]
    pub(super) fn unserved(&mut self, spec: &'static Spec) -> Rare {
        if self.patient {
            return Rare::Unserved;
        }
        self.refuse(spec, HANDED_OVER);
        Rare::Done(None)
    }

    fn refuse(&mut self, spec: &'static Spec, text: &str) {
        self.answer.error(text);
        self.answer.take_failed();
        self.worker.metrics().rejected(Some(CommandIndex(spec.id.index() as u16)));
    }
}

/// The groups that a forwarded command is about.
fn concerned<'a>(
    scope: Scope,
    spec: &Spec,
    args: Args<'a>,
) -> Box<dyn Iterator<Item = Group> + 'a> {
    match scope {
        Scope::Group(group) => Box::new(std::iter::once(group)),
        Scope::Everywhere => Box::new(Group::all()),
        Scope::Keys => {
            let keys = spec.key_positions(args.len()).map(move |at| args.get(at));
            Box::new(keys.map(|key| Slot::of(key).group()).collect::<Vec<_>>().into_iter())
        }
    }
}

/// Where a plan is forwarded to, and by which topology.
fn forwarded(plan: &Plan<'_>) -> Option<(Scope, u64)> {
    match plan {
        Plan::Away { away, .. } => match **away {
            Away::Forward { scope, topology_version, .. } => Some((scope, topology_version)),
            Away::Refused(_) | Away::Unserved(_) => None,
        },
        Plan::Key { .. } | Plan::Data { .. } | Plan::Session { .. } | Plan::Refused(_) => None,
    }
}

/// A command as RESP2 bytes, to be sent on.
fn request(args: Args<'_>) -> Bytes {
    let mut bytes = Vec::with_capacity(args.iter().map(|arg| arg.len() + 16).sum::<usize>() + 16);
    let mut digits = itoa::Buffer::new();
    let mut line = |bytes: &mut Vec<u8>, kind: u8, number: usize| {
        bytes.push(kind);
        bytes.extend_from_slice(digits.format(number).as_bytes());
        bytes.extend_from_slice(b"\r\n");
    };
    line(&mut bytes, b'*', args.len());
    for arg in args.iter() {
        line(&mut bytes, b'$', arg.len());
        bytes.extend_from_slice(arg);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.into()
}
