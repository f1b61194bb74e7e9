"""Editions of the notebooks: the site, the stage, a room, the demo, the rehearsal."""
