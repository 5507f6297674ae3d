//! CLIENT: connections as their owner and as administrators see them.

use super::Server;
use super::client_filter::{self, Filter};
use super::handshake::{CLIENT_NAMES, name_error};
use crate::clock;
use crate::command::Args;
use crate::command::parse::{self, number};
use crate::command::reply::{ReplyWriter, errors};
use crate::worker::{After, Answer, Call, Client, Pause, Replies, Session};
use std::fmt::Write;
use std::sync::Arc;

const NOT_TRACKING: &str = "ERR CLIENT CACHING can be called only when the client is in tracking \
                            mode with OPTIN or OPTOUT mode enabled";

impl Server {
    /// Carries out CLIENT `subcommand`.
    pub(super) fn client(
        &self,
        subcommand: &str,
        call: &Call<'_>,
        session: &mut Session,
        out: &mut Answer<'_>,
    ) -> After {
        let args = call.args.from(2);
        match subcommand {
            "id" => out.integer(id(&session.client)),
            "info" => out.verbatim(&line(&session.client, call.nanos())),
            "list" => self.client_list(args, out),
            "getname" => match session.client.names.lock().name.as_slice() {
                [] => out.null(),
                name => out.bulk(name),
            },
            "setname" => set_name(args.get(0), session, out),
            "setinfo" => set_info(args, session, out),
            "kill" => return self.client_kill(args, session, out),
            "pause" => self.pause(args, out),
            "unpause" => {
                self.shared.notice.resume();
                out.simple("OK");
            }
            "no-evict" => switch(args.get(0), out, |on| session.client.set_no_evict(on)),
            "no-touch" => switch(args.get(0), out, |on| session.client.set_no_touch(on)),
            "routing" => routing(args.get(0), session, out),
            "reply" => reply(args.get(0), session, out),
            "unblock" => unblock(call.args, out),
            _ => tracking(subcommand, args, out),
        }
        After::Continue
    }

    fn client_list(&self, args: Args<'_>, out: &mut Answer<'_>) {
        let filter = match client_filter::list(args) {
            Ok(filter) => filter,
            Err(text) => return out.error(&text),
        };
        let now = clock::monotonic_nanos();
        let clients = self.shared.clients.all();
        let shown = clients.iter().filter(|client| filter.takes(client, now));
        out.verbatim(&shown.map(|client| line(client, now)).collect::<String>());
    }

    fn client_kill(&self, args: Args<'_>, session: &Session, out: &mut Answer<'_>) -> After {
        let own = &session.client;
        let filter = match client_filter::kill(args, own.id) {
            Ok(filter) => filter,
            Err(text) => {
                out.error(&text);
                return After::Continue;
            }
        };
        let now = clock::monotonic_nanos();
        let clients = self.shared.clients.all();
        let doomed: Vec<&Arc<Client>> =
            clients.iter().filter(|client| filter.takes(client, now)).collect();
        doomed.iter().filter(|client| client.id != own.id).for_each(|client| client.abort());
        match (&filter, doomed.is_empty()) {
            (Filter::Address(_), true) => out.error("ERR No such client"),
            (Filter::Address(_), false) => out.simple("OK"),
            _ => out.integer(i64::try_from(doomed.len()).unwrap_or(i64::MAX)),
        }
        // Who kills itself is answered first.
        let suicide = doomed.iter().any(|client| client.id == own.id);
        if suicide { After::Close } else { After::Continue }
    }

    fn pause(&self, args: Args<'_>, out: &mut Answer<'_>) {
        let mode = args.get(1);
        let pause = if args.len() == 1 || mode.eq_ignore_ascii_case(b"all") {
            Pause::All
        } else if mode.eq_ignore_ascii_case(b"write") {
            Pause::Writes
        } else {
            return out.error("ERR CLIENT PAUSE mode must be WRITE or ALL");
        };
        match number::integer(args.get(0)).map(u64::try_from) {
            None => out.error("ERR timeout is not an integer or out of range"),
            Some(Err(_)) => out.error("ERR timeout is negative"),
            Some(Ok(ms)) => {
                let until = clock::monotonic_nanos().saturating_add(ms.saturating_mul(1_000_000));
                self.shared.notice.pause(pause, until);
                out.simple("OK");
            }
        }
    }
}

fn id(client: &Client) -> i64 {
    i64::try_from(client.id).unwrap_or(i64::MAX)
}

fn set_name(name: &[u8], session: &Session, out: &mut Answer<'_>) {
    if let Some(error) = name_error(CLIENT_NAMES, name) {
        return out.error(&error);
    }
    session.client.names.lock().name = name.to_vec();
    out.simple("OK");
}

fn set_info(args: Args<'_>, session: &Session, out: &mut Answer<'_>) {
    let (option, value) = (args.get(0), args.get(1));
    let mut names = session.client.names.lock();
    let (field, name) = if option.eq_ignore_ascii_case(b"lib-name") {
        (&mut names.library, "lib-name")
    } else if option.eq_ignore_ascii_case(b"lib-ver") {
        (&mut names.library_version, "lib-ver")
    } else {
        let option = String::from_utf8_lossy(option);
        return out.error(&format!("ERR Unrecognized option '{option}'"));
    };
    if let Some(error) = name_error(name, value) {
        return out.error(&error);
    }
    *field = value.to_vec();
    out.simple("OK");
}

/// Nothing here blocks a client but a pause, which UNPAUSE ends: there is nobody to unblock.
fn unblock(words: Args<'_>, out: &mut Answer<'_>) {
    let (id, reason) = (words.get(2), words.get(3));
    let is = |name: &str| reason.eq_ignore_ascii_case(name.as_bytes());
    match words.len() {
        3 => {}
        4 if is("timeout") || is("error") => {}
        4 => return out.error("ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR"),
        _ => return out.error(&parse::wrong_subcommand(words)),
    }
    match number::integer(id) {
        Some(_) => out.integer(0),
        None => out.error(errors::NOT_AN_INTEGER),
    }
}

fn switch(word: &[u8], out: &mut Answer<'_>, set: impl FnOnce(bool)) {
    let (on, off) = (word.eq_ignore_ascii_case(b"on"), word.eq_ignore_ascii_case(b"off"));
    if !on && !off {
        return out.error(errors::SYNTAX);
    }
    set(on);
    out.simple("OK");
}

fn reply(word: &[u8], session: &mut Session, out: &mut Answer<'_>) {
    if word.eq_ignore_ascii_case(b"on") {
        session.replies = Replies::On;
        out.simple("OK");
    } else if word.eq_ignore_ascii_case(b"off") {
        session.replies = Replies::Off;
    } else if word.eq_ignore_ascii_case(b"skip") {
        if session.replies == Replies::On {
            session.replies = Replies::SkipNext;
        }
    } else {
        out.error(errors::SYNTAX);
    }
}

/// Client-side caching: not offered, and said so in the words clients understand.
fn tracking(subcommand: &str, args: Args<'_>, out: &mut Answer<'_>) {
    match subcommand {
        "tracking" if args.len() == 1 && args.get(0).eq_ignore_ascii_case(b"off") => {
            out.simple("OK");
        }
        "tracking" if args.get(0).eq_ignore_ascii_case(b"on") => {
            out.error("ERR client-side caching is not supported by this version");
        }
        "trackinginfo" => {
            out.map(3);
            out.bulk(b"flags");
            out.set(1);
            out.bulk(b"off");
            out.bulk(b"redirect");
            out.integer(-1);
            out.bulk(b"prefixes");
            out.array(0);
        }
        "getredir" => out.integer(-1),
        "caching" => out.error(NOT_TRACKING),
        _ => out.error(errors::SYNTAX),
    }
}

/// A client as CLIENT LIST and INFO show it.
fn line(client: &Client, now: u64) -> String {
    let seconds = |since: u64| now.saturating_sub(since) / 1_000_000_000;
    let names = client.names.lock().clone();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut flags = String::new();
    for (is, letter) in
        [(client.is_waiting(), 'b'), (client.is_no_evict(), 'e'), (client.is_no_touch(), 'T')]
    {
        if is {
            flags.push(letter);
        }
    }
    if flags.is_empty() {
        flags.push('N');
    }
    let (query, output) = (client.query_bytes.get(), client.output_bytes.get());
    let mut line = String::with_capacity(320);
    // Writing to a String cannot fail.
    let _ = writeln!(
        line,
        "id={} addr={} laddr={} fd={} name={} age={} idle={} flags={flags} db=0 sub=0 psub=0 \
         ssub=0 multi=-1 watch=0 qbuf={query} qbuf-free=0 argv-mem=0 multi-mem=0 rbs=0 rbp=0 \
         obl=0 oll={} omem={output} tot-mem={} events={} cmd={} user=default redir=-1 resp={} \
         lib-name={} lib-ver={} io-thread={}",
        client.id,
        client.peer,
        client.local,
        client.fd,
        text(&names.name),
        seconds(client.opened_nanos),
        seconds(client.heard_nanos.get()),
        u8::from(output > 0),
        query + output + size_of::<Client>() as u64,
        if output > 0 { "rw" } else { "r" },
        client.last_command().map_or("NULL", |id| crate::command::spec::by_id(id).name),
        client.protocol.get(),
        text(&names.library),
        text(&names.library_version),
        client.worker(),
    );
    line
}

/// CLIENT ROUTING: what the connection does with what belongs to other nodes.
fn routing(word: &[u8], session: &mut Session, out: &mut Answer<'_>) {
    if word.eq_ignore_ascii_case(b"forward") {
        session.forwards = true;
    } else if !word.eq_ignore_ascii_case(b"redirect") {
        return out.error(errors::SYNTAX);
    } else if session.always_forwards {
        return out.error("ERR connections to this port always forward");
    } else {
        session.forwards = false;
    }
    out.simple("OK");
}
