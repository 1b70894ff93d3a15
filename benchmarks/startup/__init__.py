"""CPU seconds that the toolkit takes before it does anything."""
