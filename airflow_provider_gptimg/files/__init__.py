"""Files: where images are stored and what they are called, and which files a request refers to."""
