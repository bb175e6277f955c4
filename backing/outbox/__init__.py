"""The outbox: messages committed in the transaction of a change, and the relay that publishes them."""
