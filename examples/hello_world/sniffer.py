"""Watches the pipeline, started before or after it.

python sniffer.py kafka://localhost:9092
"""

import sys

from hello_world.pipeline import HelloWorld
from pypz.sniffer.viewer import PipelineSnifferViewer

if __name__ == "__main__":
    pipeline = HelloWorld("hello_world")
    pipeline.set_parameter(">>channelLocation", sys.argv[1] if len(sys.argv) > 1 else "kafka://localhost:9092")

    PipelineSnifferViewer(pipeline).mainloop()
