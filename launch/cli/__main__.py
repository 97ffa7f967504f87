"""`python -m launch.cli`: the same as `sparrow`."""

from launch.cli.main import main

main()
