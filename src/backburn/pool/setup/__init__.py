"""What `backburn pool setup` makes of a machine, step by step, and how `backburn pool uninstall` takes it back."""
