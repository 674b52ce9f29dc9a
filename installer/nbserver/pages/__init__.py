"""Pages that load nothing from any network: their layout, style, and script, which the review and the report share."""
