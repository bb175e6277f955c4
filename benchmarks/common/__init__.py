"""What several benchmarks share: measuring, inputs, processes and load."""
