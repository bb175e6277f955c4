"""`python -m hexhail` is `hexhail`."""

from hexhail.cli import main

main()
