"""The languages of the interface. What programs read is in English: JSON, events, files, and scripts."""
