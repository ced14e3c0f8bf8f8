"""Runs the pipeline here.

python execute.py                           in memory, with no server at all
python execute.py kafka://localhost:9092    over a Kafka broker
"""

import sys

from hello_world.pipeline import HelloWorld
from pypz.executors.pipeline.executor import PipelineExecutor

if __name__ == "__main__":
    pipeline = HelloWorld("hello_world")
    pipeline.set_parameter(">>channelLocation", sys.argv[1] if len(sys.argv) > 1 else "memory:hello_world")

    codes = PipelineExecutor(pipeline).start()
    sys.exit(max(codes.values()))  # 0, or 130 after Ctrl-C
