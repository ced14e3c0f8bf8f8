"""What is said of a picture, in texts and tones, for any screen: rows, details, why it is stuck."""
