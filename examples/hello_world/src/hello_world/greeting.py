"""What travels between greeter and listener."""

import json

GREETING = json.dumps(
    {
        "type": "record",
        "name": "Greeting",
        "fields": [
            {"name": "number", "type": "long"},
            {"name": "language", "type": "string"},
            {"name": "text", "type": "string"},
        ],
    }
)
"""Avro schema of one greeting."""

TEXTS = {
    "English": "Hello, world",
    "German": "Hallo, Welt",
    "Hungarian": "Helló, világ",
    "Japanese": "こんにちは世界",
    "Swahili": "Habari, dunia",
}
