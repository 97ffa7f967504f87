"""The named spaces, one TOML file each."""
