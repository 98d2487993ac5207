"""Draws small images of things in scenes, with numpy alone: the same bytes on every machine."""
