"""Executes one operator as `python -m pypz.runnables.operator` does, with this transport, installed or not."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "src"))

from pypz_redis import plugin

from pypz.core.hooks.host import PluginHost
from pypz.runnables.operator import main

if not any(report.name == "redis" and report.state == "loaded" for report in PluginHost.default().reports):
    PluginHost.default().register(plugin)
sys.exit(main())
