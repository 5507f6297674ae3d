//! Questions that clients ask to find out what they talk to: ACL, MODULE, FUNCTION, CLUSTER of a
//! node that stands alone and has one user. Pure.

use crate::command::Args;
use crate::command::reply::{ReplyWriter, errors};
use crate::command::spec::{self, Category};
use crate::worker::Answer;
use cluster::slot::Slot;

/// What a node that stands alone says to cluster commands.
pub(super) const NO_CLUSTER: &str = "ERR This instance has cluster support disabled";

/// Answers the command `name`, whose arguments behind the subcommand are `args`.
pub(super) fn run(name: &str, args: Args<'_>, out: &mut Answer<'_>) {
    match name {
        "acl|whoami" => out.bulk(b"default"),
        "acl|cat" => categories(args, out),
        "acl|users" => {
            out.array(1);
            out.bulk(b"default");
        }
        "acl|list" => {
            out.array(1);
            out.bulk(b"user default on sanitize-payload ~* &* +@all");
        }
        "acl|getuser" if args.get(0) == b"default" => user(out),
        "acl|getuser" => out.null(),
        "module|list" | "function|list" => out.array(0),
        "cluster|keyslot" => out.integer(i64::from(Slot::of(args.get(0)).number())),
        _ if name.starts_with("cluster") => out.error(NO_CLUSTER),
        _ => out.error(errors::SYNTAX),
    }
}

fn categories(args: Args<'_>, out: &mut Answer<'_>) {
    let plain = |category: &Category| category.name().trim_start_matches('@');
    match args.len() {
        0 => {
            out.array(Category::ALL.len());
            Category::ALL.iter().for_each(|category| out.bulk(plain(category).as_bytes()));
        }
        1 => {
            let is = |c: &&Category| plain(c).as_bytes().eq_ignore_ascii_case(args.get(0));
            let Some(category) = Category::ALL.iter().find(is) else {
                let name = String::from_utf8_lossy(args.get(0)).into_owned();
                return out.error(&format!("ERR Unknown category '{name}'"));
            };
            let members: Vec<_> =
                spec::all().iter().filter(|s| s.categories.contains(*category)).collect();
            out.array(members.len());
            members.iter().for_each(|spec| out.bulk(spec.name.as_bytes()));
        }
        _ => out.error("ERR wrong number of arguments for 'acl|cat' command"),
    }
}

fn user(out: &mut Answer<'_>) {
    out.map(6);
    out.bulk(b"flags");
    out.set(1);
    out.bulk(b"on");
    out.bulk(b"passwords");
    out.array(0);
    for (name, value) in [("commands", "+@all"), ("keys", "~*"), ("channels", "&*")] {
        out.bulk(name.as_bytes());
        out.bulk(value.as_bytes());
    }
    out.bulk(b"selectors");
    out.array(0);
}
