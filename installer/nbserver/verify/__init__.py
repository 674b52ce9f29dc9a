"""Whether a notebook server does what a browser needs."""
