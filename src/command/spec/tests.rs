//! The table is whole: numbers dense, names found, documentation there, keys as declared.

use super::{
    COMMAND_IDS, CommandId, Family, Flag, KeyFlag, Spec, all, by_id, commands, id_of, lookup,
    lookup_full, subcommand,
};
use std::collections::HashSet;

#[test]
fn numbers_are_dense() {
    assert_eq!(all().len(), COMMAND_IDS);
    for (i, spec) in all().iter().enumerate() {
        assert_eq!(spec.id.index(), i);
        assert_eq!(by_id(spec.id).name, spec.name);
        assert_eq!(id_of(spec.name), spec.id);
    }
    assert!(CommandId::all().map(CommandId::index).eq(0..COMMAND_IDS));
}

#[test]
fn every_name_is_found_in_any_case() {
    let mut names = HashSet::new();
    for spec in all() {
        assert!(names.insert(spec.name), "{} stands twice", spec.name);
        for name in [spec.name.to_owned(), spec.name.to_ascii_uppercase()] {
            assert_eq!(lookup_full(name.as_bytes()), Some(spec), "{name}");
        }
    }
    for spec in commands() {
        assert_eq!(lookup(spec.name.as_bytes()), Some(spec));
        for sub in spec.subcommands() {
            let own = sub.own_name();
            assert_eq!(sub.name, format!("{}|{own}", spec.name));
            assert_eq!(subcommand(spec, own.as_bytes()), Some(sub));
        }
    }
    let below: usize = commands().map(|s| s.subcommands().len()).sum();
    assert_eq!(commands().count() + below, COMMAND_IDS);
}

#[test]
fn no_other_name_is_found() {
    for spec in commands() {
        let name = spec.name.as_bytes();
        for at in 0..name.len() {
            for byte in 0..=u8::MAX {
                let mut other = name.to_vec();
                other[at] = byte;
                let same = other.eq_ignore_ascii_case(name);
                assert_eq!(lookup(&other) == Some(spec), same, "{other:?}");
            }
        }
        assert_ne!(lookup(&[name, b"\0"].concat()), Some(spec));
        assert_ne!(lookup(&name[1..]), Some(spec));
    }
    for name in [&b""[..], b"g", b"ge", b"client|list", b"averyverylongname", &[0xff; 400]] {
        assert_eq!(lookup(name), None);
    }
    assert_eq!(lookup_full(b"client|foo"), None);
    assert_eq!(lookup_full(b"foo|list"), None);
}

#[test]
fn rows_are_sound() {
    for spec in all() {
        let name = spec.name;
        assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b"|-".contains(&b)), "{name}");
        assert_ne!(spec.arity, 0, "{name}");
        assert!(!spec.docs.summary.is_empty() && !spec.docs.since.is_empty(), "{name}");
        let both = [Flag::Write, Flag::ReadOnly].into_iter().all(|f| spec.flags.contains(f));
        assert!(!both, "{name} reads only and writes");
        assert!(!spec.flags.contains(Flag::DenyOom) || spec.is_write(), "{name}");
        let written = spec.key_specs.iter().any(|k| !k.flags.contains(&KeyFlag::Ro));
        assert!(!written || spec.is_write(), "{name} changes a key but is no write");
        let variable = spec.key_specs.iter().any(|k| k.flags.contains(&KeyFlag::VariableFlags));
        assert!(!variable || name == "set", "{name}: COMMAND GETKEYSANDFLAGS must learn of it");
        for (i, argument) in spec.docs.arguments.iter().enumerate() {
            let known = argument.key_spec.is_none_or(|k| usize::from(k) < spec.key_specs.len());
            assert!(known, "{name}: argument {i}");
        }
        for pair in spec.key_specs.windows(2) {
            let [a, b] = pair else { continue };
            assert!(
                a.last >= 0 && i32::from(b.first) == i32::from(a.first) + i32::from(a.last) + 1
            );
            assert_eq!((a.step, b.step), (1, 1), "{name}");
        }
    }
}

#[test]
fn key_positions_follow_the_arguments() {
    let positions = |name: &str, args| {
        let spec = lookup_full(name.as_bytes()).expect(name);
        spec.key_positions(args).collect::<Vec<_>>()
    };
    assert_eq!(positions("get", 2), [1]);
    assert!(positions("get", 1).is_empty());
    assert_eq!(positions("mget", 4), [1, 2, 3]);
    assert_eq!(positions("mset", 5), [1, 3]);
    assert!(positions("mset", 1).is_empty());
    assert_eq!(positions("rename", 3), [1, 2]);
    assert_eq!(positions("object|freq", 3), [2]);
    assert!(positions("ping", 2).is_empty());
    let range = |name: &str| {
        let spec: &Spec = lookup_full(name.as_bytes()).expect(name);
        (spec.first_key(), spec.last_key(), spec.key_step())
    };
    assert_eq!(range("get"), (1, 1, 1));
    assert_eq!(range("mset"), (1, -1, 2));
    assert_eq!(range("copy"), (1, 2, 1));
    assert_eq!(range("memory|usage"), (2, 2, 1));
    assert_eq!(range("ping"), (0, 0, 0));
}

#[test]
fn families_are_all_there() {
    for (i, family) in Family::ALL.into_iter().enumerate() {
        assert_eq!(family.index(), i);
        assert!(all().iter().any(|s| s.family == family), "{}", family.name());
    }
}
