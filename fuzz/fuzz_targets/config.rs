//! Settings as `--set` and CONFIG SET take them: an error that changes nothing, or a configuration
//! that, set to what it prints, stays the same.

#![no_main]

use crabcache::config::{Config, redis};
use libfuzzer_sys::fuzz_target;

// Lines: a name (a number chooses one that exists), `=`, a value.
fuzz_target!(|input: &[u8]| {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let sets: Vec<String> = text.lines().map(str::to_owned).collect();
    let _ = Config::load(None, std::iter::empty(), &sets);

    let mut config = Config::default();
    let names: Vec<String> =
        redis::get(&config, &[b"*"]).into_iter().map(|(name, _)| name).collect();
    for line in &sets {
        let (name, value) = line.split_once('=').unwrap_or((line, ""));
        let name = match name.parse::<usize>() {
            Ok(number) => names[number % names.len()].as_str(),
            Err(_) => name,
        };
        let before = config.clone();
        match redis::set(&mut config, &[(name.as_bytes(), value.as_bytes())]) {
            Err(text) => {
                assert!(text.starts_with("ERR "), "{text}");
                assert!(config == before, "{name} failed and changed something");
            }
            Ok(()) => prints_what_it_is(&config, name),
        }
    }
});

fn prints_what_it_is(config: &Config, name: &str) {
    for (name, value) in redis::get(config, &[name.as_bytes()]) {
        let mut again = config.clone();
        let set = redis::set(&mut again, &[(name.as_bytes(), value.as_bytes())]);
        assert_eq!(set, Ok(()), "{name} = {value}");
        let printed = redis::get(&again, &[name.as_bytes()]);
        assert!(printed.contains(&(name, value)), "printed as {printed:?}");
    }
}
