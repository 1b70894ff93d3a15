"""One question about a project each; one file each; the list of them is `catalog.STAGES`."""
