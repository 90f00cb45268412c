"""What `tfzoo study ala` runs."""
