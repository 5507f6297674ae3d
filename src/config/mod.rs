//! Settings: defaults, TOML file, environment, --set, and CONFIG GET/SET by Redis's names.
