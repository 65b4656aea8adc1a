"""What is watched while training: held-out clips, log, pictures, report."""
