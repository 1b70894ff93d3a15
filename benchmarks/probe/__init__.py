"""What the probe folder and the memorize probe cost."""
