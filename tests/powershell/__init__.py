"""PowerShell for tests that need no Windows host: its parser, and a session that stays open."""
