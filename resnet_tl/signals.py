"""The signals by which a scheduler announces that a job is about to end."""

import signal

SIGNALS = (signal.SIGTERM, signal.SIGUSR1) if hasattr(signal, "SIGUSR1") else (signal.SIGTERM,)
"""A run saves itself on them (`resnet_tl.tracking.preemption`), and its loaders' workers outlive them."""
