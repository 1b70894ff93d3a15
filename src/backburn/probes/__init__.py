"""Code of ours inside a user's training: stdlib only, Python >= 3.10; torch and Lightning are imported when active.

The same files are `backburn.probes` where backburn is installed and `backburn_probes` where only the folder `onpath`
is on PYTHONPATH; so they import each other relatively. This folder itself must never be on a path: a file here may
be called as a module of the standard library.
"""
