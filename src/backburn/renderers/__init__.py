"""Reports in, text out. One file each; the list of them is `catalog.RENDERERS`."""
