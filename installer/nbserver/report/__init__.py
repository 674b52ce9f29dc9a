"""What a run did, as one page: computed from the files of its run directory, which are not trusted."""
