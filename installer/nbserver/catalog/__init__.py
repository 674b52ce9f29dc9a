"""The catalog of downloads: versions, URLs, sizes, hashes and locks; choosing an entry, and updating a site catalog."""
