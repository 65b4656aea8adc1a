"""Learning to point by copying colours: clips, objective, training loop."""
