"""What a person is asked about pictures: which there are, how they are shown, what the answer means."""
