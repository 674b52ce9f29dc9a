"""What a setting may be: types, what is wrong with one in words, TOML with line numbers, references to secrets."""
