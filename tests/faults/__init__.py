"""A small script of the real prelude, the real main and four steps of the tests' own, and what is done to it on its way."""
