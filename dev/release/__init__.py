"""The release: distributions of the last commit, and what they must be like."""
