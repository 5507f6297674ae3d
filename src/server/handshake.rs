//! The connection itself: PING, ECHO, HELLO, AUTH, QUIT, RESET, SELECT.

use super::Server;
use crate::clock;
use crate::command::Args;
use crate::command::parse::number;
use crate::command::reply::{ReplyWriter, errors};
use crate::limits;
use crate::resp::Version;
use crate::worker::{After, Answer, Call, Replies, Session};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::net::IpAddr;

const NO_PASSWORD: &str = "ERR AUTH <password> called without any password configured for the \
                           default user. Are you sure your configuration is correct?";
const WRONG_PASSWORD: &str = "WRONGPASS invalid username-password pair or user is disabled.";
const TOO_MANY_ATTEMPTS: &str = "ERR too many failed AUTH attempts from this address: this \
                                 connection ends";
const NO_SELECT: &str = "ERR SELECT is not allowed in cluster mode";
const HELLO_FIRST: &str = "NOAUTH HELLO must be called with the client already authenticated, \
                           otherwise the HELLO <proto> AUTH <user> <pass> option can be used to \
                           authenticate the client and select the RESP protocol version at the \
                           same time";

/// Why a client may not do everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Denied {
    /// Its token is none.
    Wrong,
    /// The same, after many others from its address.
    TooMany,
}

impl Denied {
    fn answer(self, out: &mut Answer<'_>) -> After {
        match self {
            Denied::Wrong => {
                out.error(WRONG_PASSWORD);
                After::Continue
            }
            Denied::TooMany => {
                out.error(TOO_MANY_ATTEMPTS);
                After::Close
            }
        }
    }
}

/// Wrong passwords of late, by address: whoever guesses faster than a few times a second needs a
/// new connection for every guess.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    by_address: Mutex<BTreeMap<IpAddr, (u64, u32)>>,
}

impl Attempts {
    /// Counts a wrong password; whether it is one of few in this second.
    fn wrong(&self, address: IpAddr, second: u64) -> bool {
        let mut by_address = self.by_address.lock();
        if by_address.len() >= limits::AUTH_ADDRESSES_MAX {
            by_address.retain(|_, (when, _)| *when == second);
        }
        let is_known = by_address.contains_key(&address);
        if by_address.len() >= limits::AUTH_ADDRESSES_MAX && !is_known {
            return true;
        }
        let (when, wrong) = by_address.entry(address).or_insert((second, 0));
        if *when != second {
            (*when, *wrong) = (second, 0);
        }
        *wrong = wrong.saturating_add(1);
        *wrong <= limits::AUTH_FAILURES_PER_SECOND_MAX
    }
}

/// What HELLO asks for.
#[derive(Default)]
struct Hello<'a> {
    version: Option<Version>,
    user: Option<(&'a [u8], &'a [u8])>,
    name: Option<&'a [u8]>,
}

impl Server {
    /// Carries out a command about the connection itself.
    pub(super) fn handshake(
        &self,
        call: &Call<'_>,
        session: &mut Session,
        out: &mut Answer<'_>,
    ) -> After {
        let args = call.args;
        match (call.spec.name, args.len()) {
            ("ping", 1) => out.simple("PONG"),
            ("ping", 2) => out.bulk(args.get(1)),
            ("ping", _) => out.error("ERR wrong number of arguments for 'ping' command"),
            ("echo", _) => out.bulk(args.get(1)),
            ("hello", _) => return self.hello(call, session, out),
            ("auth", 2) if self.tokens.is_empty() => out.error(NO_PASSWORD),
            ("auth", 2) => return self.auth(call, b"default", args.get(1), session, out),
            ("auth", 3) => return self.auth(call, args.get(1), args.get(2), session, out),
            ("auth", _) => out.error(errors::SYNTAX),
            ("select", _) => {
                let clustered = self.seen_by(session).is_some();
                select(args.get(1), clustered, out);
            }
            ("reset", _) => {
                self.reset(session);
                out.set_version(session.version);
                out.simple("RESET");
            }
            _ => {
                out.simple("OK");
                return After::Close;
            }
        }
        After::Continue
    }

    fn auth(
        &self,
        call: &Call<'_>,
        user: &[u8],
        password: &[u8],
        session: &mut Session,
        out: &mut Answer<'_>,
    ) -> After {
        match self.login(call, user, password, session) {
            Ok(()) => out.simple("OK"),
            Err(denied) => return denied.answer(out),
        }
        After::Continue
    }

    /// Lets a client do everything, if it knows a token: always, however many wrong ones came from
    /// its address, since others may share that. So what slows guessing is that the connection
    /// ends: the next guess costs a new one.
    fn login(
        &self,
        call: &Call<'_>,
        user: &[u8],
        password: &[u8],
        session: &mut Session,
    ) -> Result<(), Denied> {
        // The token is compared whatever the name is, so that time tells nothing about names.
        let known = self.tokens.is_empty() || self.tokens.check(password);
        if !known || user != b"default" {
            self.shared.metrics.worker(call.worker).auth_failures.add(1);
            let address = session.client.peer.ip();
            let second = clock::monotonic_nanos() / 1_000_000_000;
            // Without tokens there is nothing to guess.
            let counts = !self.tokens.is_empty();
            let few = !counts || self.attempts.wrong(address, second);
            return Err(if few { Denied::Wrong } else { Denied::TooMany });
        }
        session.authenticated = true;
        session.client.set_authenticated(true);
        Ok(())
    }

    fn hello(&self, call: &Call<'_>, session: &mut Session, out: &mut Answer<'_>) -> After {
        let wanted = match Hello::parse(call.args) {
            Ok(wanted) => wanted,
            Err(text) => {
                out.error(&text);
                return After::Continue;
            }
        };
        if let Some((user, password)) = wanted.user
            && let Err(denied) = self.login(call, user, password, session)
        {
            return denied.answer(out);
        }
        if !session.authenticated {
            out.error(HELLO_FIRST);
            return After::Continue;
        }
        if let Some(name) = wanted.name {
            session.client.names.lock().name = name.to_vec();
        }
        if let Some(version) = wanted.version {
            session.version = version;
            let number = if version == Version::Resp3 { 3 } else { 2 };
            session.client.protocol.set(number);
            out.set_version(version);
        }
        self.greet(session, out);
        After::Continue
    }

    fn greet(&self, session: &Session, out: &mut Answer<'_>) {
        let text = |out: &mut Answer<'_>, name: &str, value: &str| {
            out.bulk(name.as_bytes());
            out.bulk(value.as_bytes());
        };
        out.map(9);
        // Some clients refuse any other server and version; ours stand beside them.
        text(out, "server", "redis");
        text(out, "version", super::facts::REDIS_VERSION);
        out.bulk(b"proto");
        out.integer(if session.version == Version::Resp3 { 3 } else { 2 });
        out.bulk(b"id");
        out.integer(i64::try_from(session.client.id).unwrap_or(i64::MAX));
        let clustered = self.seen_by(session).is_some();
        text(out, "mode", if clustered { "cluster" } else { "standalone" });
        text(out, "role", "master");
        out.bulk(b"modules");
        out.array(0);
        text(out, "server_name", "crabcache");
        text(out, "crabcache_version", super::facts::VERSION);
    }

    /// Back to how the connection opened.
    fn reset(&self, session: &mut Session) {
        let client = &session.client;
        client.names.lock().name.clear();
        client.set_no_evict(false);
        client.set_no_touch(false);
        client.protocol.set(2);
        session.version = Version::Resp2;
        session.replies = Replies::On;
        session.readonly = false;
        session.forwards = session.always_forwards || self.shared.notice.settings().forwards;
        session.authenticated = self.tokens.is_empty();
        client.set_authenticated(session.authenticated);
    }
}

impl<'a> Hello<'a> {
    fn parse(args: Args<'a>) -> Result<Hello<'a>, String> {
        let mut hello = Hello::default();
        if args.len() > 1 {
            hello.version = Some(match number::integer(args.get(1)) {
                Some(2) => Version::Resp2,
                Some(3) => Version::Resp3,
                Some(_) => return Err("NOPROTO unsupported protocol version".into()),
                None => {
                    return Err("ERR Protocol version is not an integer or out of range".into());
                }
            });
        }
        let mut i = 2;
        while i < args.len() {
            let (option, left) = (args.get(i), args.len() - i - 1);
            if option.eq_ignore_ascii_case(b"auth") && left >= 2 {
                hello.user = Some((args.get(i + 1), args.get(i + 2)));
                i += 3;
            } else if option.eq_ignore_ascii_case(b"setname") && left >= 1 {
                let name = args.get(i + 1);
                if let Some(error) = name_error(CLIENT_NAMES, name) {
                    return Err(error);
                }
                hello.name = Some(name);
                i += 2;
            } else {
                let option = String::from_utf8_lossy(option);
                return Err(format!("ERR Syntax error in HELLO option '{option}'"));
            }
        }
        Ok(hello)
    }
}

/// What is wrong with a client's name, or with what it says about its library: `what` says which.
pub(super) fn name_error(what: &str, name: &[u8]) -> Option<String> {
    let bytes_max = limits::CLIENT_NAME_BYTES_MAX;
    if name.len() > bytes_max {
        return Some(format!("ERR {what} cannot be longer than {bytes_max} bytes."));
    }
    let plain = name.iter().all(|b| (b'!'..=b'~').contains(b));
    (!plain).then(|| format!("ERR {what} cannot contain spaces, newlines or special characters."))
}

/// How errors call the name of a client.
pub(super) const CLIENT_NAMES: &str = "Client names";

fn select(index: &[u8], clustered: bool, out: &mut Answer<'_>) {
    match number::database(index) {
        Ok(()) => out.simple("OK"),
        Err(_) if clustered && number::integer(index).is_some() => out.error(NO_SELECT),
        Err(text) => out.error(text),
    }
}

#[cfg(test)]
mod tests {
    use super::Attempts;
    use crate::limits::{AUTH_ADDRESSES_MAX, AUTH_FAILURES_PER_SECOND_MAX};
    use std::net::{IpAddr, Ipv4Addr};

    #[test]
    fn guessing_is_slow_and_bounded() {
        let attempts = Attempts::default();
        let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
        for _ in 0..AUTH_FAILURES_PER_SECOND_MAX {
            assert!(attempts.wrong(address, 7));
        }
        assert!(!attempts.wrong(address, 7));
        assert!(attempts.wrong(address, 8));
        for i in 0..2 * AUTH_ADDRESSES_MAX as u32 {
            attempts.wrong(IpAddr::V4(Ipv4Addr::from_bits(i)), 9);
        }
        assert!(attempts.by_address.lock().len() <= AUTH_ADDRESSES_MAX);
        // Who is counted already is so when there is no room for others.
        let first = IpAddr::V4(Ipv4Addr::from_bits(0));
        assert!((0..AUTH_FAILURES_PER_SECOND_MAX).any(|_| !attempts.wrong(first, 9)));
    }
}
