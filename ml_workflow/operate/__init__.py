"""Operating a release: what its decisions say about the world, and retraining that cannot make things worse."""
