"""`backburn pool doctor`: what is seen of a machine (seen, gathering), and what follows from it (checks)."""
