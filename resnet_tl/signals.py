"""The signals that a run saves itself on, and that its loaders' workers outlive."""

import signal

SIGNALS = (signal.SIGTERM, signal.SIGUSR1) if hasattr(signal, "SIGUSR1") else (signal.SIGTERM,)
"""By which a scheduler announces that a job is about to end."""

SIGNALS_AND_CTRL_C = (*SIGNALS, signal.SIGINT)
