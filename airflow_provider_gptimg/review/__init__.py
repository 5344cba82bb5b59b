"""Questions to people about pictures: which pictures, how they are shown, and what the answer means."""
