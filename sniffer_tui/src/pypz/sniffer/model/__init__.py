"""What is known of one pipeline: built from what observers are told, and given as frozen pictures."""
