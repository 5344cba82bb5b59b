"""The release: distributions of the last commit, and the checks that they must pass."""
