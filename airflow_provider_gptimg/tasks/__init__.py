"""What operators and sensors share."""
