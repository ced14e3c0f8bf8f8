"""A first pipeline: a greeter says hello in many languages, a listener counts what it hears."""
