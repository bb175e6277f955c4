"""The nouns of pricing: tariffs, surge parameters and prices, quotes, and the messages that pricing reads."""
