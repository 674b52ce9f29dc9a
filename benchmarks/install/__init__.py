"""From a bare Debian host to the first drawn plot: how long each step takes, and uv beside pip.

    python -m benchmarks.install --json install.json

docs/benchmarks.md says what is measured and what the numbers do not say.
"""
