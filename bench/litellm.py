"""LiteLLM's proxy as a peer, with what it does without a database: no keys of its own, budgets or records.

It is no dependency of Lumen: install it (`pip install 'litellm[proxy]'`) where `--litellm` says, or on the PATH.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

MISSING = "which is not installed (`pip install 'litellm[proxy]'`)"
READY = '/health/liveliness'
CONFIGURATION = """
model_list:
  - model_name: bench
    litellm_params: {{model: openai/bench, api_base: "http://127.0.0.1:{upstream}/v1", api_key: none}}
litellm_settings: {{telemetry: false, num_retries: 0}}
"""


def find(stated: str) -> str | None:
    """The program, where it was stated to be or on the PATH; None when it is not there."""
    return shutil.which(stated or 'litellm')


def version_of(program: str) -> str:
    """As its own Python knows it; empty when that cannot be asked."""
    python = Path(program).with_name('python')
    command = [str(python), '-c', 'import importlib.metadata as m; print(m.version("litellm"))']
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ''


def command(program: str, directory: Path, port: int, upstream: int) -> list[str]:
    """Serve the model server's model on `port`, with one worker."""
    configuration = directory / 'litellm.yaml'
    configuration.write_text(CONFIGURATION.format(upstream=upstream))
    return [program, '--config', str(configuration), '--host', '127.0.0.1', '--port', str(port), '--num_workers', '1']


def environment() -> Mapping[str, str]:
    """Nothing is fetched from elsewhere, and nothing logged but errors."""
    return os.environ | {
        'LITELLM_LOCAL_MODEL_COST_MAP': 'True',
        'LITELLM_LOG': 'ERROR',
        'LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY': 'true',  # anybody may call it, from this machine
        'DO_NOT_TRACK': '1',
    }
