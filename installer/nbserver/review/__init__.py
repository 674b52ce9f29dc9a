"""What a person reads before approving an audited folder: computed statements, and the pages that show them."""
