"""The services of pricing: surge ticks, quotes, fares at the dropoff, and the tariff in force."""
