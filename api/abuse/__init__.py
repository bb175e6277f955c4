"""What riders did lately, counted so that limits hold in every process, and flags for operators."""
