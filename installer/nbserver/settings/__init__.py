"""Settings: types, error messages, TOML with line numbers, and references to secrets."""
