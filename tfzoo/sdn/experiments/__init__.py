"""Parts of `tfzoo study sdn`."""
