"""A small real pipeline to see pypz at work; also an example of how one is written."""
