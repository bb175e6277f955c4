"""What every package shares, without a tool: money, time, parameters, keys and the contracts between the parts."""
