"""The way to Kubernetes: the pool's file as Helm values for GitHub's own chart, and what is lost on it."""
