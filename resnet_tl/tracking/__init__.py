"""What a run leaves behind and shows meanwhile: its folder, metrics, progress, checkpoints, summary."""
