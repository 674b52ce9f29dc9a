"""What is downloaded: versions, URLs, sizes, hashes and locks; choosing an entry, and updating a site's catalog."""
