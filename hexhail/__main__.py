"""`python -m hexhail` is `hexhail`."""

from hexhail.cli.app import main

main()
