"""What every other package rests on: errors, plain text, files, and TLS towards a known certificate."""
